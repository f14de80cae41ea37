"""Which words of a prompt the embedded text model knows, and which word was meant.

The vocabulary is that of the captions and of the phrases in `phrases/`. Free of torch.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache

from clipinverter.portraits.languages import CODES, caption_words, language
from clipinverter.portraits.unseen_words import UNSEEN

ALIKE = 76.0  # of 100, from which a known word may be what was meant
ENDINGS = ("s", "es", "ed", "ing", "er", "est", "ly", "ish", "less")
STEM = 4  # letters that two forms of a word of an inflected language share at least
UNSPACED = (
    r"\u3040-\u30ff\u3400-\u9fff"  # scripts without spaces between words: Japanese and Chinese
)
_WORD = re.compile(rf"[{UNSPACED}]+|[^\W\d_{UNSPACED}]+(?:['’][^\W\d_]+)?")


def unknown_words(prompt: str) -> tuple[str, ...]:
    """The words of a prompt that say nothing to the text model, as they are written, each once."""
    found = [part for word in _WORD.findall(prompt) for part in _unknown_parts(word)]
    return tuple(dict.fromkeys(found))


def suggestion(words: Iterable[str]) -> str | None:
    """The known word that is most like one of these, or None if none is."""
    from rapidfuzz import fuzz, process

    best = (0.0, None)
    for word in words:
        match = process.extractOne(
            word.lower(), _suggested(), scorer=fuzz.ratio, score_cutoff=ALIKE
        )
        if match and match[1] > best[0] and len(word) >= STEM:
            best = (match[1], match[0])
    return best[1]


def sentence(words: Sequence[str]) -> str:
    """What to say about unknown words, of which there is at least one."""
    quoted = [f"‘{word}’" for word in words]
    listed = quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} and {quoted[-1]}"
    verb = "is" if len(words) == 1 else "are"
    meant = suggestion(words)
    ask = f" Did you mean ‘{meant}’?" if meant else ""
    return f"I know words for faces; {listed} {verb} not among them.{ask}"


def _unknown_parts(word: str) -> list[str]:
    """The word if it is unknown; of a text without spaces the runs of unknown characters."""
    if not re.match(rf"[{UNSPACED}]", word):
        return [] if _is_known(word) else [word]
    marked = "".join(c if c not in _characters() else " " for c in word)
    return marked.split()


def _is_known(word: str) -> bool:
    word = word.lower().replace("’", "'")
    words = vocabulary()
    if word in words or len(word) == 1:
        return True
    if word.isascii():
        stems = [word.removesuffix(ending) for ending in ENDINGS if word.endswith(ending)]
        doubled = [stem[:-1] for stem in stems if stem[-1:] == stem[-2:-1]]
        return any(s in words for s in (*stems, *doubled, *(f"{s}e" for s in stems), f"{word}s"))
    return word[: max(STEM, len(word) - 3)] in _stems()


@cache
def vocabulary() -> frozenset[str]:
    """All words that the text model has learnt, in lower case."""
    found = set(caption_words())
    for code in CODES:
        tongue = language(code)
        said = [frame.replace("{}", " ") for frames in tongue.frames.values() for frame in frames]
        said += [
            p for kinds in tongue.words.values() for phrases in kinds.values() for p in phrases
        ]
        said += [tongue.both, tongue.holding, *tongue.articles, *tongue.looks, *tongue.small_words]
        found.update(_WORD.findall(" ".join(said).lower()))
    known = " ".join(p for phrases in UNSEEN.values() for p in phrases).lower()
    return frozenset(found | set(_WORD.findall(known)))


@cache
def _suggested() -> tuple[str, ...]:
    """Words to suggest: those of attributes, in letters without accents."""
    return tuple(sorted(w for w in caption_words() if w.isascii() and len(w) >= STEM))


@cache
def _characters() -> frozenset[str]:
    return frozenset("".join(w for w in vocabulary() if re.match(rf"[{UNSPACED}]", w)))


@cache
def _stems() -> frozenset[str]:
    words = (w for w in vocabulary() if not w.isascii())
    return frozenset(w[:n] for w in words for n in range(STEM, len(w) + 1))
