"""The words of the page: everything that a visitor reads about a result."""

import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from clipinverter.request import Wish, opposite, turned
from clipinverter.ui.understood import about

INTRO = "Say in words how the person should look, and drag the slider to make your words act more or less."
INTRO_WITHOUT_FACES = "Add a picture and say in words how it should look. The slider sets how strongly your words act."
HOW_IT_WORKS = """
1. **Inversion.** The face is cut out as in the FFHQ data set. An encoder (e4e) turns it into
   feature maps (*trunk*) and those into one latent vector for each layer of the generator
   (*heads*). What the generator draws from them is the picture before the edit.
   Then the generator learns this one photo (*pivotal tuning*), and what it still can't draw is
   taken from the photo where your words change nothing.
2. **Text.** CLIP turns the prompt into a vector. The *adapter* changes the feature maps by it, and
   the same heads turn those into a *residual* for the latent vectors.
3. **Picture.** The *generator* draws the latent vectors plus the strength times a tenth of the
   residual, while the *remapper* pulls its layers towards the text by the same strength.

Strength 0 is the photo itself, 1 the normal edit, 2 an exaggeration; on a photo that the model has
learned, strength 1 goes further than published, age and gender most. Every stage is kept:
another prompt does not repeat the inversion, and another strength runs only the generator.

The authors' own model for photographs of faces (FFHQ, 1024 px) is not part of this project; whoever
runs this page can add it.

Baykal et al., *CLIP-Guided StyleGAN Inversion for Text-Driven Real Image Editing*, ACM Transactions
on Graphics, 2023.
"""
PRIVACY = (
    "Pictures are processed on the machine that runs this page and nowhere else. Their files are "
    "deleted within two hours; until then, whoever has the unguessable address of a result can open "
    "it. Recent results stay in its memory until newer ones replace them. A "
    "downloaded picture carries its prompt, strength, method and model as metadata, and nothing about "
    "yours."
)

ENDPOINT = (
    "Edits a portrait by text. image: any common format, at most 20 MB. prompt: the wanted look in "
    'words, e.g. "a smiling woman with red hair". strength: 0 is the picture as the model draws '
    "it, 1 the normal edit, 2 the most; below 0, to -2, the edit goes the opposite way. align: "
    '"auto" finds the face, "none" takes the picture as an aligned face. '
    "paste: whether the face is put back into the whole picture. face: which "
    "face is edited, if there are several: 0 is the largest, 1 the next. tune: whether the model "
    "first learns this photo, which takes seconds, once; false gives the published method. detail: "
    "whether what the model can't draw of the photo is kept. Returns the pictures before and after "
    "as PNG, and as JSON the `stages` that ran, the `timings_ms` of each, the stages that were "
    "`cached`, whether the model was `tuned`, and the `boxes` of all faces (left, top, right, bottom; "
    "the largest first). Streams: a quick sketch comes first, with `learning` from 0 to 1 while the "
    "photo is learned; the last answer is the edit."
)

EXPLORE_ENDPOINT = (
    "Edits one portrait by several prompts at several strengths. image: as for edit. prompts: a list "
    'of at most 12 texts, e.g. ["a smiling woman", "a bald man"]. strengths: a list of at most 4 '
    "numbers from -2 to 2. align: as for edit. Streams; the last answer has all edits: a "
    "sheet of the pictures, and for each "
    "prompt and strength the CLIP cosine with the prompt without and with the edit and the cosine of the "
    "identity features, or an `error`. The photo is learned first, which takes seconds, once."
)
INSPECT_ENDPOINT = (
    'Says what happens inside an edit. image, prompt, strength, align: as for edit. parts: "both", or '
    '"adapter" or "remapper" alone. levels: the levels of the adapter that act, of "coarse", "medium" '
    'and "fine". Returns the picture and as JSON the size of the residual by row of W+, the '
    "remapper's pull and lambda by row, the adapter's gamma and beta by channel, and figures: PSNR and "
    "identity against the photo, and the CLIP cosine with the prompt. Draws with what was learned of "
    "the photo if an edit has learned it; otherwise with the published model."
)
MIX = (
    "Edits a portrait by up to three wishes at once. wishes: a list such as "
    '[{"prompt": "red hair", "strength": 1}, {"prompt": "a smiling face", "strength": -0.5}], where '
    "each strength is from -2 to 2. Everything else as for /edit, and so are the answers."
)

START = "Use your own photo, or choose an example."
LOOKING = "Looking for the face …"
SIDES = "Your photo", "Edited"
NO_PICTURE = "Please add a picture first: upload one, or choose an example."
PICTURE_GONE = (
    "This picture was not uploaded to this server or is no longer there. Please add it again."
)
TOO_MUCH = "This request is too large. Pictures are uploaded first, see the API page."
TOO_LARGE = "This file is too large. Please send at most 20 MB."
UNKNOWN_ALIGN = (
    'Align must be "auto" (find the face) or "none" (the picture is cropped to the face).'
)
NO_FACES = "This model knows no faces, so there is none to put back into the whole picture."
UNKNOWN_PASTE = "Paste must be true (put the face back into the whole picture) or false."
UNKNOWN_TUNE = "Tune must be true (learn the photo first) or false (the published method)."
UNKNOWN_WISHES = (
    'Wishes must be a list such as [{"prompt": "red hair", "strength": 1}], one to three of them.'
)
UNKNOWN_DETAIL = "Detail must be true (keep what the model can't draw of the photo) or false."
UNEDITED = "Without words"
FILMING = "drawing the film"
PICK_FACE = "Tap the face to edit"
PICK_EYES = "Tap both eyes of the face"
TAP_EYES = "Please tap both eyes in the picture."
TAP_OTHER_EYE = "Now the other eye."
TAP_INSTEAD = "You can show it, too: tap both eyes in the small picture."
INVERTED = "This is how the model draws the picture. Now describe a change."
LEARNED = "This is the photo. Now describe a change."

# What is said of learning a photo.
WAITING = "Quick sketch. Waiting to learn this face …"
LEARNING = "Quick sketch. Learning this face: {percent} %"
READY = "Ready: edits now change your own photo."
REMEMBERED = "Ready (remembered): edits change your own photo."
NOTHING_TO_LEARN = "Ready: the model draws this picture well without learning it."
PLAIN = "The plain model, as published: it draws a look-alike of your photo."
KEPT = "We kept the sketch."

# What the other places say.
NO_PHOTO_YET = "There is no photo yet. Choose one in Edit."
NO_WORDS_YET = "Describe a change in Edit first."
OUTDATED = "Outdated: the photo, the prompt or the strength has changed since. Run it again."
ON_THIS_FACE = "Edits of this photo"
OTHER_PHOTO = "Outdated: these pictures are of another photo. Run it again."
LEARNING_FIRST = "Learning this face first: {percent} %"
WORKING = "Working …"
INSPECTED = "These are the parts of the edit."
NOT_SAVED_HERE = "This picture was not saved by this page: it carries no prompt and no strength."
OTHER_LATENTS = "These latents were saved by another model, or they are damaged."
UNKNOWN_PROMPTS = "Prompts and strengths must be lists."

NO_MAPPER = "These words have no network of their own, and this method needs one."
TRY_INSTEAD = "It has others: choose one above."
NO_ENDPOINT = "There is no such endpoint; there are /edit, /mix, /explore, /inspect and /compare."
FOREIGN_ORIGIN = (
    "Pages of other origins may not use this server. Whoever runs it can allow an origin by the "
    "environment variable ALLOWED_ORIGINS."
)
WENT_WRONG = "Something went wrong on the server. Please try again, or try another picture."
NO_WEIGHTS = (
    "The model's weights are missing or damaged on the server. Whoever runs this page finds the "
    "reason in its log."
)
NO_ROOM = "The server has no room for this picture at the moment. Please try again later."
TOO_MANY_WAITING = (
    "You have asked for a lot already. Wait until some of it is done, then try again."
)
ENDING = "The server is being stopped or restarted. Please try again in a minute."
QUEUE_FULL = "Many people are editing. Try again in a minute."
TRUNCATED = "The prompt is longer than the text model reads, so its end was ignored."

TIME = r"\d m?s( ·|$)|^Cached:"  # what a line of `describe_run` contains
_STAGES = {
    "align": "face found",
    "trunk": "trunk",
    "heads": "heads",
    "reconstruction": "reconstruction",
    "text": "text",
    "adapter": "adapter",
    "residual": "edit vector",
    "remapper": "remapper",
    "generator": "generator",
    "paste": "put back",
    "tuning": "learned",
    "tune": "learned",
    "detail": "detail",
}
_INVERSION = ("align", "trunk", "heads", "reconstruction")


def stage_name(stage: str) -> str:
    """What the page calls a stage while it runs."""
    return _STAGES.get(stage, stage)


def describe_run(info: Mapping[str, Any]) -> str:
    """The stages that ran with their times, and those that did not need to, in one line.

    `info` is what `api.describe` returns. The four stages of the inversion are shown as one.
    """
    ran = {name: info["timings_ms"][name] for name in info["stages"]}
    parts = [f"{name} {_ms(ms)}" for name, ms in _grouped(ran).items()]
    cached = list(_grouped(dict.fromkeys(info["cached"], 0.0)))
    if cached:
        parts.append("cached: " + ", ".join(cached))
    line = " · ".join(parts)
    return line[0].upper() + line[1:]


def notes(info: Mapping[str, Any]) -> list[str]:
    """What there is to say beyond `describe_result`."""
    found = [several_faces(info["faces"])] if (info.get("faces") or 0) > 1 else []
    found += [turned(info["turned"])] if info.get("turned") else []
    if away := opposite([Wish(*wish) for wish in wishes_of(info)]):
        found.append(away)
    return [*about(info), describe_run(info), *found] + (
        [TRUNCATED] if info.get("truncated") else []
    )


def several_faces(count: int) -> str:
    """Says that a picture has several faces, of which one is edited."""
    return f"There are {count} faces in this picture. Tap the one to edit."


def describe_result(info: Mapping[str, Any]) -> str:
    """What is to be seen, in one line. `info` as for `describe_run`."""
    if "prompt" not in info:
        return LEARNED if info.get("tuned") else INVERTED
    return described(wishes_of(info))


def wishes_of(info: Mapping[str, Any]) -> list[tuple[str, float]]:
    """Words and strengths of an edit; `info` as for `describe_run`."""
    if "wishes" in info:
        return [(wish["prompt"], wish["strength"]) for wish in info["wishes"]]
    return [(info["prompt"], info["strength"])] if "prompt" in info else []


def described(wishes: Sequence[tuple[str, float]]) -> str:
    """Words with their strengths, in one line; empty without any."""
    return " · ".join(f"“{words}” {percent(strength)}" for words, strength in wishes)


def percent(strength: float) -> str:
    """A strength as people read it, e.g. 100 % or −50 %."""
    return f"{round(100 * strength)} %".replace("-", "−")


def status(
    line: str,
    notes: Iterable[str] = (),
    *,
    failed: bool = False,
    stale: bool = False,
    chips: str = "",
) -> str:
    """HTML of the status: a line and notes on it.

    Args:
        chips: HTML between line and notes.
        stale: the pictures shown belong to an earlier photo; they are dimmed.
    """
    kind = ("failed" if failed else "done") + (" stale" if stale else "")
    extra = "".join(_note(note) for note in notes)
    return f"<div class='status {kind}'><p>{escape(line)}</p>{chips}{extra}</div>"


def _note(note: str) -> str:
    """HTML of a note; times are for those who ask for them."""
    if re.search(TIME, note):
        return f"<details class='note times'><summary>Times</summary>{escape(note)}</details>"
    return f"<p class='note'>{escape(note)}</p>"


def learning(line: str, progress: float | None = None, preview: str = "") -> str:
    """HTML of how learning a photo is going.

    Args:
        progress: 0 to 1, while it runs.
        preview: address of a small picture.
    """
    bar = ""
    if progress is not None:
        percent = round(100 * progress)
        line = line.format(percent=percent)
        bar = (
            "<div class='bar' role='progressbar' aria-label='Learning this face' "
            f"aria-valuenow='{percent}'><i style='width:{percent}%'></i></div>"
        )
    image = f"<img src='{escape(preview)}' alt='What the model has learned so far'>"
    return f"{bar}<p>{escape(line)}</p>{image if preview else ''}" if line else ""


def file_name(info: Mapping[str, Any]) -> str:
    """What a downloaded picture is called, e.g. clipinverter-red-hair-100.png."""
    if "prompt" not in info:
        return "clipinverter.png"
    parts = []
    for prompt, strength in wishes_of(info):
        words = "-".join(re.findall(r"[a-z0-9]+", prompt.lower()))[:60].strip("-") or "edit"
        away = "minus-" if strength < 0 else ""
        parts.append(f"{words}-{away}{abs(round(100 * strength))}")
    return f"clipinverter-{'-'.join(parts)}.png"


def _grouped(stages: Mapping[str, float]) -> dict[str, float]:
    groups: dict[str, float] = {}
    for stage, ms in stages.items():
        name = "inversion" if stage in _INVERSION else stage_name(stage)
        groups[name] = groups.get(name, 0.0) + ms
    return groups


def _ms(ms: float) -> str:
    return f"{ms / 1000:.1f} s" if ms >= 1000 else f"{max(round(ms), 1)} ms"
