"""The page's own words in other languages.

The code is in English. `mark` goes over the finished page and replaces every text of a component by a key;
the visitor's browser shows it in the visitor's language, and in English where there is none. A file of
`translations/` has one language: the English text and, beside it, the translation. What the server says
while it works comes in English and is replaced by `words.js`; refusals and the names of stages stay English.
"""

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import gradio as gr

from clipinverter.domains import get_domain
from clipinverter.ui import text, tiles, understood, verdicts

FOLDER = Path(__file__).parent / "translations"
PROPERTIES = ("label", "info", "value", "title")  # that the framework translates in the browser
WITH_TEXT = (gr.Button, gr.Markdown)  # whose value is a text of the page
SAID = (
    *text.SIDES, "Your picture", text.START, text.LOOKING, text.INVERTED, text.LEARNED, text.WAITING,
    text.LEARNING, text.READY, text.REMEMBERED, text.NOTHING_TO_LEARN, text.PLAIN, text.KEPT,
    text.TAP_EYES, text.TAP_OTHER_EYE, text.TAP_INSTEAD, text.several_faces(2), text.NO_PHOTO_YET,
    text.NO_WORDS_YET, text.OUTDATED, text.ON_THIS_FACE, text.OTHER_PHOTO, text.LEARNING_FIRST,
    text.WORKING, text.INSPECTED, text.UNEDITED, understood.NOTHING_CHANGED, "Understood:", "Times", tiles.MORE,
    "Your results will be here.", "1 of 2 edits are there.", "All 2 edits are there.", "Stopped.", "Comparing …",
    "All four are through",
    *map(verdicts.of_words, (1, 0, -1)), *map(verdicts.of_person, (1, verdicts.SIMILAR, 0)),
    *get_domain("portraits").chips,
)  # fmt: skip


@cache
def languages() -> dict[str, dict[str, str]]:
    """Language -> English text -> translation."""
    files = sorted(FOLDER.glob("*.json"))
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in files}


def said() -> set[str]:
    """What the server says, with {} for every number."""
    return {re.sub(r"{\w+}|\d+", "{}", text) for text in SAID}


def of_the_server() -> dict[str, dict[str, str]]:
    """Language -> English text of `said` -> translation."""
    wanted = said()
    return {
        language: {text: there for text, there in found.items() if text in wanted}
        for language, found in languages().items()
    }


def key(text: str) -> str:
    """The key of a text: letters and digits alone, since a point would mean a place in a tree."""
    return re.sub(r"\W+", "_", text)[:120]


def texts() -> gr.I18n:
    """All languages, for `launch(i18n=…)`; English is the text itself."""
    english = {text for translated in languages().values() for text in translated}
    found = {"en": {key(text): text for text in english}}
    for language, translated in languages().items():
        found[language] = {key(text): there for text, there in translated.items()}
    return gr.I18n(**found)


def parts(demo: gr.Blocks) -> Iterator[tuple[Any, str, str, int | None]]:
    """Every text of the page: its component, property and text, and for choices their number.

    Left out are endpoints, which programs read, and the long texts of About, which have no id.
    """
    for block in demo.blocks.values():
        hidden = getattr(block, "visible", True) is False or isinstance(block, gr.Markdown)
        if hidden and not getattr(block, "elem_id", None):
            continue
        for name in PROPERTIES:
            found = getattr(block, name, None)
            if name == "value" and not isinstance(block, WITH_TEXT):
                continue
            if isinstance(found, str) and re.search("[a-z]{2}", found):
                yield block, name, found, None
        if isinstance(block, gr.Radio | gr.CheckboxGroup):
            for number, (found, _) in enumerate(block.choices):
                if isinstance(found, str) and re.search("[a-z]{2}", found):
                    yield block, "choices", found, number


def mark(demo: gr.Blocks) -> None:
    """Replaces the texts of the page that have translations by their keys."""
    known = {text for translated in languages().values() for text in translated}
    i18n = gr.I18n()
    for block, name, english, number in list(parts(demo)):
        if english not in known:
            continue
        if number is None:
            setattr(block, name, i18n(key(english)))
        else:
            block.choices[number] = (i18n(key(english)), block.choices[number][1])
