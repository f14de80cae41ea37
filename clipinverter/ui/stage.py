"""The stage: two pictures of one face, one over the other, and a divider between them.

Its size is fixed before the first picture comes, so nothing on the page jumps. The divider is a
native range input over the pictures: it can be focused, moved by keys, and a finger that swipes
upwards scrolls the page.
"""

import io
import os
import secrets
from hashlib import blake2b
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.data_classes import FileData
from PIL import Image

SIDES = 512, 1600  # pixels of the longer side of a picture on the page: at least, at most
DIVIDER = 18  # percent of the width: left of the face
QUALITY = 95  # of the JPEG on the page; what is downloaded is a PNG
_KEY = secrets.token_bytes(
    16
)  # without it, nobody can tell the address of a picture that they have

HTML = """
<div class="frame" role="group" aria-label="Before and after%(by)s">
  <p class="empty">%(empty)s</p>
  <img class="before" alt="Before the edit%(by)s" hidden draggable="false">
  <img class="after" alt="After the edit%(by)s" hidden draggable="false">
  <i class="line" hidden></i><p class="caption" hidden></p>
  <span class="tag left" hidden>%(left)s</span><span class="tag right" hidden>%(right)s</span>
  <input type="range" min="0" max="100" step="1" value="%(divider)s" hidden
    aria-label="Divider%(by)s: how much of “%(left)s” shows. Hold the picture or the space bar to see all of it.">
</div>
"""

SCRIPT = """
const frame = element.querySelector(".frame");
const after = frame.querySelector(".after"), before = frame.querySelector(".before");
const divider = frame.querySelector("input");
const place = () => frame.style.setProperty("--cut", divider.value + "%");
const peek = (on) => frame.classList.toggle("peek", on);
divider.addEventListener("input", place);
divider.addEventListener("keydown", (event) => {
  if (event.key === " ") { event.preventDefault(); peek(true); }
});
divider.addEventListener("keyup", () => peek(false));
divider.addEventListener("blur", () => peek(false));
place();
// Pressing and holding shows the photo, and leaves the divider where it was.
let held = 0, from = null;
const release = () => { clearTimeout(held); from = null; peek(false); };
divider.addEventListener("pointerdown", (event) => {
  const before = divider.value;
  from = { x: event.clientX, y: event.clientY };
  clearTimeout(held);
  held = setTimeout(() => { divider.value = before; place(); peek(true); }, 350);
});
divider.addEventListener("pointermove", (event) => {
  if (!from || Math.hypot(event.clientX - from.x, event.clientY - from.y) < 8) return;
  clearTimeout(held);
  peek(false);
});
for (const end of ["pointerup", "pointercancel"]) divider.addEventListener(end, release);
divider.addEventListener("contextmenu", (event) => { if (from) event.preventDefault(); });
const ready = async (url) => {
  const image = new Image();
  image.src = url;
  try { await image.decode(); } catch (error) { /* shown as it is */ }
};
let wanted = 0;
const show = async () => {
  const value = props.value, number = ++wanted;
  if (!value || !value.after) return;
  frame.setAttribute("aria-busy", "true");
  await Promise.all([ready(value.before.url), ready(value.after.url)]);
  if (number !== wanted) return;  // a later picture is on its way
  if (value.fade && after.src && !matchMedia("(prefers-reduced-motion: reduce)").matches) {
    const old = after.cloneNode();
    old.alt = "";
    after.after(old);
    old.animate([{ opacity: 1 }, { opacity: 0 }], 500).onfinish = () => old.remove();
  }
  if (before.src !== value.before.url) before.src = value.before.url;
  if (after.src !== value.after.url) after.src = value.after.url;
  frame.querySelectorAll("[hidden]").forEach((part) => { part.hidden = false; });
  frame.querySelector(".caption").textContent = value.caption;
  frame.removeAttribute("aria-busy");
};
watch("value", show);
show();
"""


def draw(left: str, right: str, empty: str = "", by: str = "", **options: Any) -> gr.HTML:
    """A stage; its value is what `pair` gives.

    Args:
        left, right: what is written on the two sides.
        empty: what is written where no pictures are yet.
        by: which of several stages this is, for those who hear the page.
        options: of `gr.HTML`.
    """
    words = {"left": left, "right": right, "empty": empty, "divider": DIVIDER}
    words["by"] = by and f" by {by}"
    return gr.HTML(
        None, html_template=HTML % words, js_on_load=SCRIPT, elem_classes="stage", **options
    )


def pair(
    stage: gr.HTML,
    before: Image.Image,
    after: Image.Image,
    *,
    slowly: bool = False,
    caption: str = "",
) -> dict[str, Any]:
    """What a stage shows. The pictures need not be of one size.

    Args:
        slowly: the picture after the edit replaces an earlier one by a cross-fade.
        caption: what is written on the picture in talk mode.
    """
    files = {"before": picture_file(stage, before), "after": picture_file(stage, after)}
    return files | {"fade": slowly, "caption": caption}


def picture_file(stage: gr.HTML, image: Image.Image) -> dict[str, Any]:
    """The file of a picture. The same pixels have the same file, so that browsers keep it."""
    buffer = io.BytesIO()
    fitted(image).save(buffer, "JPEG", quality=QUALITY, subsampling=0)
    name = blake2b(buffer.getvalue(), key=_KEY, digest_size=16).hexdigest()
    path = Path(stage.GRADIO_CACHE) / name / "picture.jpg"
    if path.exists():
        os.utime(path)  # it is as good as new for whoever deletes old files
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_name(secrets.token_hex(8))
        new.write_bytes(buffer.getvalue())
        new.replace(path)
    stage.temp_files.add(str(path))
    return FileData(path=str(path)).model_dump()


def fitted(image: Image.Image) -> Image.Image:
    """For the screen, smoothly: what is downloaded has the pixels that the model drew."""
    least, most = SIDES
    side = min(max(max(image.size), least), most)
    if side == max(image.size):
        return image
    scale = side / max(image.size)
    size = [max(1, round(length * scale)) for length in image.size]
    return image.resize(size, Image.Resampling.LANCZOS)
