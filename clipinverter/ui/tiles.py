"""Tiles: pictures with a title and a few lines each, in rows, added as they come; some can be pressed."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import gradio as gr
from PIL import Image

from clipinverter.ui import stage

HTML = "<div class='tiles' role='list'></div>"
SCRIPT = """
const list = element.querySelector(".tiles");
const set = (node, text) => { if (node.textContent !== text) node.textContent = text; };
const tile = (pressed) => {
  const item = document.createElement("div");
  item.className = pressed ? "tile pressed" : "tile";
  item.setAttribute("role", "listitem");
  const kind = pressed ? "button" : "div";
  item.innerHTML = `<${kind} class="face"><span class="picture"><img alt="" hidden></span><b></b></${kind}>` +
    "<p></p><details><summary></summary><p></p></details>";
  if (pressed) item.firstChild.addEventListener("click", () => {
    trigger("click", { index: [...list.children].indexOf(item) });
  });
  return item;
};
const show = () => {
  const value = props.value || { tiles: [] };
  list.style.setProperty("--columns", value.columns || 0);
  list.classList.toggle("fixed", Boolean(value.columns));
  while (list.children.length > value.tiles.length) list.lastChild.remove();
  value.tiles.forEach((given, index) => {
    const pressed = Boolean(given.action);
    let item = list.children[index];
    if (!item) item = list.appendChild(tile(pressed));
    if (item.classList.contains("pressed") !== pressed) {
      const other = tile(pressed);
      item.replaceWith(other);
      item = other;
    }
    const image = item.querySelector("img"), [line, figures] = item.querySelectorAll("p");
    if (pressed) item.firstChild.setAttribute("aria-label", given.action);
    set(item.querySelector("b"), given.title);
    set(line, given.line);
    const more = item.querySelector("details");
    more.hidden = !given.figures;
    set(more.querySelector("summary"), given.more);
    set(figures, given.figures);
    image.hidden = !given.image;
    image.alt = pressed ? "" : given.title;
    if (given.image && image.src !== given.image.url) image.src = given.image.url;
    item.classList.toggle("waiting", !given.image && !given.line);
  });
};
watch("value", show);
show();
"""


class Tile(NamedTuple):
    """A tile.

    Attributes:
        title: what the picture is.
        image: RGB; None while it is not there.
        line: what is said of it.
        figures: the figures behind it, which a press on `more` shows.
        action: what a press on the picture does; without one it can't be pressed.
    """

    title: str
    image: Image.Image | None = None
    line: str = ""
    figures: str = ""
    action: str = ""


MORE = "Figures"


def draw(value: dict[str, Any] | None = None, **options: Any) -> gr.HTML:
    """A place for tiles; its value is what `value` gives, and a press is its event `click`.

    options: of `gr.HTML`.
    """
    return gr.HTML(value, html_template=HTML, js_on_load=SCRIPT, padding=False, **options)


def value(component: gr.HTML, tiles: Sequence[Tile], columns: int = 0) -> dict[str, Any]:
    """What `draw` shows.

    Args:
        columns: of the grid; 0 takes as many as there is room for.
    """
    found = [
        tile._asdict()
        | {"image": tile.image and stage.picture_file(component, tile.image), "more": MORE}
        for tile in tiles
    ]
    return {"columns": columns, "tiles": found}
