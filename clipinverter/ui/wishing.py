"""The wishes on the page: up to three rows of words, each with its own strength, and chips that fill them."""

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import gradio as gr

from clipinverter.domains import Domain
from clipinverter.request import MAX_WISHES, Wish

Update = dict[Any, Any]
Filled = tuple[str, float]  # the words of a row and its slider, in percent
PERCENT = -100, 200
EMPTY: Filled = ("", 100)

CHIPS = """
{{#each value}}<div role="group" aria-label="{{this.title}}"><b>{{this.title}}</b>
{{#each this.words}}<button type="button">{{this}}</button>{{/each}}</div>{{/each}}
"""
CHIPS_SCRIPT = """
let row = null;
document.addEventListener("focusin", (event) => {
  const wish = event.target.closest(".wish");
  if (wish) row = [...document.querySelectorAll(".wish")].indexOf(wish);
});
element.addEventListener("click", (event) => {
  const chip = event.target.closest("button");
  if (chip) trigger("click", { words: chip.textContent, row, only: document.body.classList.contains("talk") });
});
"""


class Row(NamedTuple):
    """A wish: its words, its slider in percent, and the button that removes it."""

    box: gr.Column
    prompt: gr.Textbox
    strength: gr.Slider
    remove: gr.Button


def draw(domain: Domain) -> dict[str, object]:
    """Draws rows, buttons and chips into the current column."""
    with gr.Column(elem_id="wishes"):
        rows = tuple(_row(number, domain) for number in range(MAX_WISHES))
    with gr.Row(elem_id="wishing"):
        add = gr.Button("+ add a wish", size="md", min_width=120, elem_id="add")
        surprise = gr.Button("Surprise me", size="md", min_width=120, elem_id="surprise")
    chips = gr.HTML(
        [{"title": title, "words": words} for title, words in groups(domain).items()],
        html_template=CHIPS, js_on_load=CHIPS_SCRIPT, elem_id="chips", padding=False,
    )  # fmt: skip
    return {
        "wishes": rows, "prompt": rows[0].prompt, "strength": rows[0].strength,
        "count": gr.State(1), "add": add, "surprise": surprise, "chips": chips,
    }  # fmt: skip


def _row(number: int, domain: Domain) -> Row:
    first = number == 0
    question = "How should the person look?" if domain.aligned else "How should it look?"
    with gr.Column(visible=first, elem_classes="wish", elem_id=f"wish-{number + 1}") as box:
        with gr.Row(elem_classes="words"):
            prompt = gr.Textbox(
                label=question if first else f"Wish {number + 1}",
                placeholder=domain.suggestions[0] if first and domain.suggestions else "and …",
                submit_btn="Edit" if first else False,
                lines=1,
                max_lines=4,
                elem_id="prompt" if first else f"prompt-{number + 1}",
                elem_classes="prompt",
                scale=1,
            )
            remove = gr.Button(
                "×", visible=False, scale=0, min_width=44, elem_id=f"remove-{number + 1}"
            )
        strength = gr.Slider(
            *PERCENT, value=100, step=5,
            label="Strength in %" if first else f"Strength of wish {number + 1}",
            info="0: no change · 100: normal · below 0: the opposite" if first else None,
            elem_id="strength" if first else f"strength-{number + 1}",
            elem_classes="strength",
        )  # fmt: skip
    return Row(box, prompt, strength, remove)


def groups(domain: Domain) -> Mapping[str, Sequence[str]]:
    """The chips by title."""
    return domain.chips or {"Suggestions": domain.suggestions}


def widgets(on: Any) -> list[Any]:
    """What `filled` writes."""
    parts = [part for row in on.wishes for part in row]
    return [*parts, on.count, on.add]


def inputs(on: Any) -> set[Any]:
    """What `rows` and `wishes` read."""
    return {part for row in on.wishes for part in (row.prompt, row.strength)}


def rows(on: Any, given: Update) -> list[Filled]:
    """What the rows hold, empty ones too. A place of the page may bring the first row only."""
    there = [row for row in on.wishes if row.prompt in given]
    return [(given[row.prompt] or "", given[row.strength]) for row in there]


def wishes(on: Any, given: Update) -> list[Wish]:
    """The wishes of the rows that hold words, unchecked."""
    return [Wish(words, share(p)) for words, p in rows(on, given) if str(words).strip()]


def share(percent: Any) -> Any:
    """A strength from a slider; what is no number stays what it is, to be refused."""
    number = isinstance(percent, int | float) and not isinstance(percent, bool)
    return percent / 100 if number else percent


def as_rows(asked: Iterable[Wish]) -> list[Filled]:
    """Wishes as rows hold them."""
    return [(wish.prompt, round(100 * wish.strength)) for wish in asked]


def filled(on: Any, held: Sequence[Filled]) -> Update:
    """Shows as many rows as there is to hold, and at least one."""
    held = [*held][:MAX_WISHES] or [EMPTY]
    update: Update = {on.count: len(held), on.add: gr.Button(visible=len(held) < MAX_WISHES)}
    for number, row in enumerate(on.wishes):
        words, percent = held[number] if number < len(held) else EMPTY
        update |= {
            row.box: gr.Column(visible=number < len(held)),
            row.prompt: words,
            row.strength: percent,
            row.remove: gr.Button(visible=len(held) > 1),
        }
    return update


def with_chip(held: Sequence[Filled], words: str, row: int | None, greeting: str) -> list[Filled]:
    """The rows after a chip was pressed.

    Its words go to the row that had the focus last, after what is there. Without one, they go to the
    first empty row, or a new one, or the last. The page's own greeting makes room.
    """
    held = [*held]
    if held == [(greeting, 100)]:
        return [(words, 100)]
    if row is None or row >= len(held):
        empty = [number for number, (said, _) in enumerate(held) if not said.strip()]
        if not empty and len(held) < MAX_WISHES:
            return [*held, (words, 100)]
        row = empty[0] if empty else len(held) - 1
        return [*held[:row], (words, held[row][1]), *held[row + 1 :]]
    before = held[row][0].strip()
    if words in before.split(", "):
        return held
    held[row] = (f"{before}, {words}" if before else words, held[row][1])
    return held


def connect(on: Any, domain: Domain, ask: Callable[[Any], Any]) -> None:
    """Brings the buttons to life.

    Args:
        ask: asks for an edit after an event.
    """
    greeting = domain.suggestions[0] if domain.suggestions else ""
    options = {
        "queue": False, "preprocess": False, "api_visibility": "private", "show_progress": "hidden",
        "outputs": widgets(on),
    }  # fmt: skip
    read = inputs(on) | {on.count}

    def shown(given: Update) -> list[Filled]:
        return rows(on, given)[: given[on.count]]

    def add(given: Update) -> Update:
        return filled(on, [*shown(given), EMPTY])

    def chip(given: Update, event: gr.EventData) -> Update:
        words = next((w for some in groups(domain).values() for w in some if w == event.words), "")
        if event.only:
            return filled(on, [(words, 100)])
        row = event.row if isinstance(event.row, int) else None
        return filled(on, with_chip(shown(given), words, row, greeting))

    def surprise(given: Update) -> Update:
        some = random.sample([*groups(domain).values()], k=min(2, len(groups(domain))))
        before = {words for words, _ in shown(given)}
        picked = [random.choice([w for w in words if w not in before] or words) for words in some]
        return filled(on, [(words, 100) for words in picked])

    def remove(number: int) -> Callable[[Update], Update]:
        return lambda given: filled(on, [x for i, x in enumerate(shown(given)) if i != number])

    on.add.click(add, read, **options)
    ask(on.chips.click(chip, read, **options))
    ask(on.surprise.click(surprise, read, **options))
    for number, row in enumerate(on.wishes):
        ask(row.remove.click(remove(number), read, **options))
