"""Restoring on the page: a file of latents brings its photo back, a saved picture its words.

A file of latents comes from a visitor, so nothing in it is trusted: it is no pickle, its tensors must have
the sizes of this server's networks, and its name in the caches is the digest of the file. Its crop is put
where uploads lie, with the file beside it; `api.open_request` then takes the latents from there.
"""

import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
from gradio.utils import get_upload_folder
from PIL import Image

from clipinverter.errors import UserError
from clipinverter.request import check_prompt, read_strength
from clipinverter.ui import api, latents, places, text, wishing
from clipinverter.ui.places import Place
from clipinverter.ui.uploads import path_of

if TYPE_CHECKING:
    from clipinverter.editor import Editor


def connect(place: Place, button: gr.UploadButton, status: gr.HTML) -> None:
    """Brings the button to life: it changes photo, prompt and strength on Edit."""
    on = place.on

    def restore(file: Any) -> dict[Any, Any]:
        try:
            with api.refusals():
                path = path_of(file)
                if path.suffix == ".safetensors":
                    photo = unpack(place.get_editor(), path, Path(get_upload_folder()))
                    changed = {on.photo: str(photo), on.align: "none"}
                else:
                    prompt, strength = words_of(path)
                    changed = wishing.filled(on, [(prompt, round(100 * strength))])
        except UserError as refusal:
            gr.Warning(str(refusal), duration=6, title="Not restored")
            return {status: text.status(str(refusal), failed=True)}
        return changed | {place.places: gr.Tabs(selected="edit")}

    outputs = [on.photo, on.align, *wishing.widgets(on), place.places, status]
    event = button.upload(restore, button, outputs, queue=False, **places.PRIVATE)
    place.ask(event)


def unpack(editor: "Editor", path: Path, folder: Path) -> Path:
    """Checks a file of latents and puts its crop, as a picture, into a new folder with the file beside it.

    Raises:
        UserError: the file is damaged, something else, or of another model.
    """
    inversion = latents.restore(editor, path)
    new = folder / secrets.token_hex(20)
    new.mkdir(parents=True)
    (new / latents.LATENTS).write_bytes(path.read_bytes())
    inversion.crop.save(new / "restored.png")
    return new / "restored.png"


def words_of(path: Path) -> tuple[str, float]:
    """Prompt and strength that a picture saved here carries.

    Raises:
        UserError: it is no such picture.
    """
    try:
        with Image.open(path, formats=["PNG"]) as image:
            image.load()
            prompt, strength = image.text["prompt"], image.text["strength"]
    except Exception:
        raise UserError(text.NOT_SAVED_HERE) from None
    return check_prompt(prompt), read_strength(strength)
