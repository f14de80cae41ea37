"""The page: `create_demo` connects what is drawn in `layout.py` with the answers of `api.py`."""

import secrets
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
from PIL import Image

from clipinverter.domains import Domain
from clipinverter.photo.metadata import save_png
from clipinverter.ui import api, compare, hosting, layout, strangers, style, text
from clipinverter.ui.pointing import Point, Pointing, numbered, to_tap
from clipinverter.ui.previews import streamed
from clipinverter.ui.uploads import MAX_BYTES, checked, path_of

if TYPE_CHECKING:
    from clipinverter.editor import Editor

# Whatever computes shares this queue: one run at a time, in order of arrival.
QUEUE = {"concurrency_id": "compute", "concurrency_limit": 1}
MAX_WAITING = 64
PROGRESS = gr.Progress()
STEPS = 10  # of a first edit
EDIT_DEFAULTS = (None, None, 1.0, "auto", False, 0)  # of the endpoint, in its order
PREVIEWS_ABOVE = 512  # pixels; smaller pictures are there at once
SHOWN = 512, 1600  # pixels of the longer side of a picture on the page: at least, at most


class _Page(gr.Blocks):
    async def preprocess_data(self, block_fn: Any, inputs: list, *args: Any, **options: Any) -> Any:
        """Completes and checks what a request brings, before the framework looks at it.

        A plain HTTP request may leave out what has a default, as the client library does.
        """
        defaults = {"edit": EDIT_DEFAULTS, "compare": compare.DEFAULTS}.get(block_fn.api_name, ())
        inputs = checked([*inputs, *defaults[len(inputs) :]], block_fn.inputs)
        return await super().preprocess_data(block_fn, inputs, *args, **options)


def create_demo(get_editor: "Callable[[], Editor]", domain: Domain) -> gr.Blocks:
    """Builds the page and the endpoints `/edit` and `/compare`.

    Args:
        get_editor: called for every request; may block until the models are loaded.
        domain: the editor's; the page can be built from it before the models are loaded.
    """
    with _Page(
        title="CLIPInverter",
        analytics_enabled=False,
        delete_cache=(hosting.DELETE_EVERY, hosting.DELETE_AFTER),
    ) as demo:
        widgets = layout.draw(domain)
        _connect_page(widgets, get_editor, previews=domain.image_size > PREVIEWS_ABOVE)
        _connect_endpoint(widgets, get_editor)
        compare.add(widgets, get_editor)
        if domain.examples:  # so that the first thing to see is an edit
            demo.load(
                lambda: (str(domain.examples[0]), domain.suggestions[0]),
                outputs=[widgets.photo, widgets.prompt],
                queue=False,
                api_visibility="private",
            )
    return demo.queue(max_size=MAX_WAITING)


def _connect_page(on: layout.Widgets, get_editor: "Callable[[], Editor]", previews: bool) -> None:
    def show(
        photo: Any,
        prompt: str | None,
        strength: Any,
        align: Any,
        pointing: Pointing,
        face: Any,
        paste: Any,
        progress: gr.Progress = PROGRESS,
        on_preview: api.OnPreview | None = None,
    ) -> dict[Any, Any]:
        done = 0

        def on_step(name: str) -> None:
            nonlocal done
            progress((done, STEPS), desc=text.stage_name(name))
            done += 1

        try:
            got = api.answer(
                get_editor, photo, prompt, strength, align, on_step, face, pointing.eyes, paste,
                on_preview,
            )  # fmt: skip
        except api.Refusal as refusal:
            # A warning and not an error: what is on the page stays there.
            gr.Warning(str(refusal), duration=6, title="Not done")
            notes, extra = [], {}
            if isinstance(refusal, api.NoFace):
                notes, extra = [text.TAP_INSTEAD], ask_for_eyes(photo)
            return {on.status: text.status(str(refusal), notes, failed=True), **extra}
        path = _save(got, on.download.GRADIO_CACHE)
        return {
            on.result: (_fitted(got.before), _fitted(got.after)),
            on.status: text.status(text.describe_result(got.info), text.notes(got.info)),
            on.info: got.info,
            on.crop: got.crop,
            on.download: gr.DownloadButton(value=path, interactive=True),
        }

    def show_early(
        photo: Any, prompt: Any, strength: Any, align: Any, pointing: Pointing, face: Any,
        paste: Any, progress: gr.Progress = PROGRESS,
    ) -> Iterator[dict[Any, Any]]:  # fmt: skip
        """The same with the preview first."""
        request = photo, prompt, strength, align, pointing, face, paste, progress
        yield from streamed(
            lambda give: show(*request, lambda *pair: give({on.result: tuple(map(_fitted, pair))}))
        )

    def look(
        photo: Any,
        prompt: Any,
        strength: Any,
        align: Any,
        pointing: Pointing,
        face: Any,
        paste: Any,
        progress: gr.Progress = PROGRESS,
    ) -> dict[Any, Any]:
        """A face that is new is shown even without a prompt, as the model draws it."""
        if not photo:
            return hide() | {on.status: text.status(text.START)}
        if align == "eyes" and len(pointing.eyes) < 2:
            line = text.TAP_OTHER_EYE if pointing.eyes else text.TAP_EYES
            try:
                with api.refusals():
                    return {on.status: text.status(line), **ask_for_eyes(photo, pointing.eyes)}
            except api.Refusal as refusal:
                return {on.status: text.status(str(refusal), failed=True)}
        words = (prompt or "").strip() or None
        shown = show(photo, words, strength, align, pointing, face, paste, progress)
        boxes = shown[on.info]["boxes"] if on.info in shown else ()
        if align == "eyes":
            return shown | ask_for_eyes(photo, pointing.eyes)
        if len(boxes) < 2:
            return hide() | shown
        image, pointing = numbered(path_of(photo), boxes, face)
        return shown | {
            on.pointing: pointing,
            on.pick: gr.Image(image, visible=True, label=text.PICK_FACE),
            on.face: gr.Radio(_numbers(len(boxes)), value=face, visible=True),
        }

    def arrive(
        photo: Any, prompt: Any, strength: Any, align: Any, paste: Any,
        progress: gr.Progress = PROGRESS,
    ) -> dict[Any, Any]:  # fmt: skip
        """Of another picture nothing is known yet."""
        changed = {on.face: 0}
        if align == "eyes":
            align = changed[on.align] = "auto"
        return changed | look(photo, prompt, strength, align, Pointing(), 0, paste, progress)

    def tap(
        photo: Any, prompt: Any, strength: Any, align: Any, pointing: Pointing, face: Any,
        paste: Any, event: gr.SelectData, progress: gr.Progress = PROGRESS,
    ) -> dict[Any, Any]:  # fmt: skip
        x, y = event.index
        if pointing.boxes:
            face = pointing.face_at(x, y)
            return look(photo, prompt, strength, align, pointing, face, paste, progress)
        pointing = pointing.tapped(x, y)
        shown = look(photo, prompt, strength, "eyes", pointing, face, paste, progress)
        return {on.align: "eyes"} | shown

    def ask_for_eyes(photo: Any, eyes: Sequence[Point] = ()) -> dict[Any, Any]:
        image, pointing = to_tap(path_of(photo), eyes)
        return {
            on.pointing: pointing,
            on.pick: gr.Image(image, visible=True, label=text.PICK_EYES),
            on.face: gr.Radio(_numbers(1), value=0, visible=False),
        }

    def hide() -> dict[Any, Any]:
        return {
            on.pointing: Pointing(),
            on.pick: gr.Image(None, visible=False),
            on.face: gr.Radio(_numbers(1), value=0, visible=False),
        }

    request = [on.photo, on.prompt, on.strength, on.align, on.pointing, on.face, on.paste]
    common = QUEUE | {
        "outputs": [
            on.result, on.status, on.info, on.crop, on.download,
            on.align, on.pointing, on.pick, on.face,
        ],
        "preprocess": False,
        "api_visibility": "private",
        "trigger_mode": "always_last",
        "show_progress_on": on.status,
    }  # fmt: skip
    ask = show_early if previews else show
    gr.on([on.prompt.submit, on.strength.release, on.paste.input], ask, request, **common)
    gr.on([on.align.input, on.face.input], look, request, **common)
    on.pick.select(tap, request, **common)
    on.photo.change(arrive, [on.photo, on.prompt, on.strength, on.align, on.paste], **common)
    fill = on.chips.click(
        lambda sample: sample[0], on.chips, on.prompt, queue=False, api_visibility="private"
    )
    fill.then(ask, request, **common)


def _connect_endpoint(on: layout.Widgets, get_editor: "Callable[[], Editor]") -> None:
    """The same answers for programs: files instead of a page."""

    def edit(
        image: Any,
        prompt: Any,
        strength: Any = EDIT_DEFAULTS[2],
        align: Any = EDIT_DEFAULTS[3],
        paste: Any = EDIT_DEFAULTS[4],
        face: Any = EDIT_DEFAULTS[5],
    ) -> tuple:
        try:
            align = "" if align == "eyes" else align  # which only the page can ask for
            got = api.answer(
                get_editor, image, prompt or "", strength, align, face=face, paste=paste
            )
        except api.Refusal as refusal:
            raise gr.Error(str(refusal), print_exception=False) from None
        return got.before, got.after, got.info

    gr.Button(visible=False).click(
        edit,
        [
            on.photo,
            on.prompt,
            on.strength,
            gr.Radio(["auto", "none"], value="auto", label="align", visible=False),
            on.paste,
            gr.Number(0, precision=0, label="face", visible=False),
        ],
        [
            gr.Image(label="before", format="png", visible=False),
            gr.Image(label="after", format="png", visible=False),
            gr.JSON(label="info", visible=False),
        ],
        preprocess=False,
        api_name="edit",
        api_description=text.ENDPOINT,
        **QUEUE,
    )


def _save(answer: api.Answer, cache: str) -> str:
    """Writes the picture after the edit where the framework serves it and deletes it later."""
    folder = Path(cache) / secrets.token_hex(16)
    folder.mkdir(parents=True)
    path = str(folder / "clipinverter.png")
    save_png(answer.after, path)
    return path


def _fitted(image: Image.Image) -> Image.Image:
    """For the screen, smoothly: what is downloaded has the pixels that the model drew."""
    least, most = SHOWN
    side = min(max(max(image.size), least), most)
    if side == max(image.size):
        return image
    scale = side / max(image.size)
    size = [max(1, round(length * scale)) for length in image.size]
    return image.resize(size, Image.Resampling.LANCZOS)


def _numbers(count: int) -> list[tuple[str, int]]:
    return [(str(number + 1), number) for number in range(count)]


def launch_options() -> dict[str, Any]:
    """How the page is served: nothing leaves the machine, nothing about visitors is kept.

    ALLOWED_ORIGINS names the origins whose pages may use the server, see `strangers`. A hosting
    service may set PORT; GRADIO_SERVER_NAME and GRADIO_SERVER_PORT work as documented.
    """
    options: dict[str, Any] = {
        "theme": style.theme(),
        "css": style.CSS,
        "js": style.SCRIPT,
        "max_file_size": MAX_BYTES,
        "run_history": False,
        "enable_monitoring": False,
        "footer_links": ["api"],
        "show_error": False,
        "app_kwargs": strangers.app_options(),
    }
    if port := hosting.check_ports():
        options["server_port"] = port
    return options
