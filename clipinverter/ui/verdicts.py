"""Figures in words, as captions say them; the figures stay one press away."""

CLOSER, FARTHER = 0.02, -0.02  # of CLIP's cosine: less than that can't be seen
# Of the identity network's cosine. Of the 91 pairs of different people among the example pictures, one
# in a hundred reaches SAME and one in ten SIMILAR; their median is 0.02.
SAME, SIMILAR = 0.75, 0.6


def of_words(gain: float | None) -> str:
    """What a change of CLIP's cosine says; empty if it was not measured."""
    if gain is None:
        return ""
    if gain >= CLOSER:
        return "closer to the words"
    return "farther from the words" if gain <= FARTHER else "no closer to the words"


def of_person(cosine: float | None) -> str:
    """What the cosine of identity features says; empty if it was not measured."""
    if cosine is None:
        return ""
    if cosine >= SAME:
        return "the same person"
    return "a similar person" if cosine >= SIMILAR else "another person"


def caption(gain: float | None, cosine: float | None) -> str:
    """Both, as one line."""
    return " · ".join(filter(None, (of_words(gain), of_person(cosine))))


def figures(gain: float | None, cosine: float | None) -> str:
    """The figures behind `caption`."""
    parts = [] if gain is None else [f"CLIP score {gain:+.3f}"]
    parts += [] if cosine is None else [f"identity {cosine:.2f}"]
    return " · ".join(parts)
