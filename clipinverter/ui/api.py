"""What the page and the public endpoints do with a `Request`: one set of functions for both."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from PIL import Image

from clipinverter.errors import UserError
from clipinverter.photo.faces import turn_of
from clipinverter.photo.load import MissingPhotoError, load_photo
from clipinverter.photo.metadata import METHOD, SaveError, sign
from clipinverter.request import Request
from clipinverter.ui import text
from clipinverter.ui.latents import LATENTS, restore
from clipinverter.ui.previews import streamed
from clipinverter.ui.understood import changed
from clipinverter.ui.uploads import UploadError

if TYPE_CHECKING:
    from clipinverter.editor import Editor
    from clipinverter.methods.base import OnPreview, OnStep
    from clipinverter.results import Edit, Inversion

log = logging.getLogger(__name__)

EVERY = 0.3  # seconds between two looks at what is being learned

GetEditor = Callable[[], "Editor"]


class Answer(NamedTuple):
    """before and after as RGB pictures, and what `describe` says about them.

    They are the model's own pictures, or the whole photo before and after. `before` is what the
    model makes of the photo without words; `crop` is the photo itself where the face is.
    """

    before: Image.Image
    after: Image.Image
    crop: Image.Image
    info: dict[str, Any]


@dataclass(frozen=True)
class Opened:
    """A request with its photo inverted.

    Attributes:
        inversion: the quick one.
        learnable: the request asks for tuning, and this photo needs it.
    """

    editor: "Editor"
    request: Request
    inversion: "Inversion"
    learnable: bool

    @cached_property
    def photo(self) -> Image.Image:
        """The whole photo, decoded once."""
        return load_photo(self.request.photo)

    @property
    def learned(self) -> "Inversion | None":
        """The tuned inversion if it is there already; never computes."""
        if not self.learnable:
            return None
        return self.editor.tuned(self.inversion, self.request.detail)

    def learn(self, on_step: "OnStep | None", on_preview: "OnPreview | None") -> "Inversion":
        """Teaches the generator this photo; takes seconds."""
        return self.editor.tune(self.inversion, on_step, on_preview, self.request.detail)


def open_request(
    get_editor: GetEditor,
    request: Request,
    on_step: "OnStep | None" = None,
    photo: Image.Image | None = None,
) -> Opened:
    """Inverts the photo of a request.

    Args:
        photo: the decoded photo, if the caller has it.

    Raises:
        UserError: no face, a damaged file, a model without faces to put back, …
    """
    editor = get_editor()
    if request.paste and not editor.models.domain.aligned:
        raise UserError(text.NO_FACES)
    if request.paste and photo is None:
        photo = load_photo(request.photo)
    # Of a file that it knows the Editor needs the pixels no more; so it is given the file.
    source = request.photo if photo is None else photo
    restored = request.photo.with_name(LATENTS)
    if request.align == "none" and restored.is_file():
        inversion = restore(editor, restored, tune=request.tune)
    else:
        inversion = editor.invert(source, request.where, on_step, request.face)
    learnable = request.tune and not inversion.tuning and editor.needs_tuning(inversion)
    opened = Opened(editor, request, inversion, learnable)
    if photo is not None:
        opened.__dict__["photo"] = photo
    return opened


def answer(
    opened: Opened,
    inversion: "Inversion",
    on_step: "OnStep | None" = None,
    on_preview: "OnPreview | None" = None,
) -> Answer:
    """Draws what a request asks for.

    Args:
        inversion: the quick or the tuned one of the request.
        on_preview: called with a small picture while a large one is drawn; not if the whole photo
            is asked for.
    """
    editor, request = opened.editor, opened.request
    before, edit = inversion.unedited, None
    after = before
    if request.wishes:
        show = None if request.paste else on_preview
        edit = editor.mix(inversion, request.wishes, on_step, show)
        change = changed(inversion.unedited, edit.image)
        if request.paste:
            edit = editor.paste(opened.photo, edit, on_step)
        after = edit.image
    if request.paste:
        before = opened.photo
        after = after if edit else before
    info = describe(editor, inversion, edit)
    if edit is not None:
        info["change"] = round(change, 2)
    return Answer(before, sign(after.copy() if edit is None else after, info), inversion.crop, info)


def answers(get_editor: GetEditor, request: Request) -> Iterator[Answer]:
    """The edit of the quick inversion, and again about every second while the photo is learned with
    `learning` in its info, from 0 to 1; at the end the edit of the photo itself.

    There is only one answer if the photo needs no tuning or was learned before.
    """
    opened = open_request(get_editor, request)
    if (learned := opened.learned) is None:
        sketch = answer(opened, opened.inversion)
        yield sketch
        if not opened.learnable:
            return
        for news in learning(opened, every=1.0):
            if news.inversion:
                learned = news.inversion
            else:
                yield sketch._replace(info=sketch.info | {"learning": round(news.progress, 3)})
    yield answer(opened, learned)


class Learning(NamedTuple):
    """How learning a photo is going: the share done, the latest preview, the result at the end."""

    progress: float = 0.0
    preview: Image.Image | None = None
    inversion: "Inversion | None" = None


def learning(
    opened: Opened, stopped: Callable[[], bool] = lambda: False, every: float = EVERY
) -> Iterator[Learning]:
    """Tunes in a thread and says how it goes. Closing the iterator ends it within a step.

    Args:
        stopped: asked at every step whether to end.
        every: seconds between two looks.

    Raises:
        Stopped: `stopped` said so.
    """
    from clipinverter.methods.base import Stopped, progress_of

    def work(give: Callable[[Learning], None]) -> Learning:
        latest = Learning()

        def tell(**changed: Any) -> None:
            nonlocal latest
            if stopped():
                raise Stopped
            latest = latest._replace(**changed)
            give(latest)

        def on_step(name: str) -> None:
            tell(progress=progress_of(name) or latest.progress)

        return Learning(1.0, None, opened.learn(on_step, lambda image: tell(preview=image)))

    last = float("-inf")
    for news in streamed(work, gone=Stopped):
        now = time.monotonic()
        if news.inversion or now - last >= every:
            last = now
            yield news


@contextmanager
def refusals() -> Iterator[None]:
    """Lets only errors through that are a sentence for the visitor."""
    try:
        yield
    except Exception as error:
        raise sentence(error) from None


def sentence(error: Exception) -> UserError:
    """What the visitor is told; whoever runs the server finds the rest in its log."""
    from clipinverter.weights.files import CheckpointError  # slow: it needs PyTorch

    if isinstance(error, CheckpointError):  # it names files of the server
        log.error("The weights can't be used: %s", error)
        return UserError(text.NO_WEIGHTS)
    if isinstance(error, MissingPhotoError):  # deleted since the request was checked
        return UploadError(text.PICTURE_GONE)
    if isinstance(error, SaveError | OSError):  # a full disk, in most cases; it names files, too
        log.error("The server can't write or read: %s", error)
        return UserError(text.NO_ROOM)
    if isinstance(error, UserError):
        return error
    # A bug, or a machine out of memory: the server has to go on.
    log.error("a request failed", exc_info=error)
    return UserError(text.WENT_WRONG)


def describe(
    editor: "Editor", inversion: "Inversion", edit: "Edit | None" = None
) -> dict[str, Any]:
    """What happened, for JSON: stages that ran, their times in ms, and stages that were cached."""
    results = [inversion] if edit is None else [inversion, edit]
    stages = [stage for result in results for stage in result.ran]
    domain = editor.models.domain
    info: dict[str, Any] = {
        "stages": [stage.name for stage in stages],
        "timings_ms": {stage.name: round(stage.ms, 1) for stage in stages},
        "cached": [name for result in results for name in result.cached],
        "method": METHOD,
        "model": domain.name,
        "image_size": domain.image_size,
        "tuned": inversion.tuning is not None,
        "faces": len(inversion.faces) or None,
        "face": inversion.face if inversion.faces else None,
        "turned": turn_of(inversion.faces[inversion.face]) if inversion.faces else 0,
        "boxes": [[round(corner, 1) for corner in face.box] for face in inversion.faces],
        "quad": None if inversion.quad is None else inversion.quad.round(1).tolist(),
    }
    if edit is not None:
        info |= {"prompt": edit.prompt, "strength": edit.strength, "truncated": edit.truncated}
        info |= {"understood": [*edit.understood], "unknown_words": [*edit.unknown_words]}
        if edit.wishes:
            info["wishes"] = [wish._asdict() for wish in edit.wishes]
    return info
