"""Photos as people have them, through detection, tuning, edit, detail and paste: what may change and what may not."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from clipinverter.editor import Editor
from clipinverter.portraits.render import render
from clipinverter.portraits.scene import Scene
from tests.tiny import tiny_models

PEOPLE = sorted((Path(__file__).parents[1] / "assets" / "photos").glob("*.jpg"))


@pytest.fixture(scope="module")
def editor():
    return Editor(tiny_models())


def person(number: int, size: int = 512) -> Image.Image:
    return Image.open(PEOPLE[number]).convert("RGB").resize((size, size), Image.LANCZOS)


def three_people() -> Image.Image:
    scene = Image.new("RGB", (1600, 560), (90, 110, 130))
    for number, side in enumerate((512, 440, 380)):
        scene.paste(person(number, side), (20 + 530 * number, 20))
    return scene


def large() -> Image.Image:
    scene = Image.new("RGB", (6000, 4000), (90, 110, 130))
    scene.paste(person(1, 2400), (2900, 1200))
    return scene


def at_the_border() -> Image.Image:
    return person(3, 768).crop((210, 0, 768, 768))  # his right eye is near the edge


def rendered(variable: str, label: str) -> Image.Image:
    scene = next(
        scene for scene in map(Scene.from_seed, range(1000)) if scene.label(variable) == label
    )
    return Image.fromarray(render(scene, 512))


KINDS = {
    "three people": three_people,
    "half-turned": lambda: rendered("yaw", "turned left"),
    "closed eyes": lambda: rendered("eyes closed", "eyes closed"),
    "grey": lambda: person(0).convert("L"),
    "6000 x 4000": large,
    "at the border": at_the_border,
}


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_chosen_face_changes(editor, kind):
    photo = KINDS[kind]()
    whole = photo.convert("RGB")
    face = 1 if kind == "three people" else 0
    inversion = editor.invert(photo, face=face)
    assert len(inversion.faces) == (3 if kind == "three people" else 1)
    tuned = editor.tune(inversion)
    untouched = editor.paste(whole, editor.edit(tuned, "a bald man", 0))
    assert np.array_equal(np.asarray(untouched.image), np.asarray(whole))
    edited = editor.paste(whole, editor.edit(tuned, "a bald man", 2))
    assert edited.image.size == photo.size
    changed = (np.asarray(edited.image) != np.asarray(whole)).any(axis=2)
    assert changed.any()
    inside = Image.new("1", photo.size)
    middle = inversion.quad.mean(axis=0)
    corners = middle + 1.02 * (inversion.quad - middle)  # the filter reaches a little beyond
    ImageDraw.Draw(inside).polygon([tuple(corner) for corner in corners], fill=1)
    assert not (changed & ~np.asarray(inside)).any()
