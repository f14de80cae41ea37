"""Any text as a prompt, a number, or the name of a picture: used, or refused in a sentence."""

import contextlib
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipinverter import batch
from clipinverter.errors import UsageError
from clipinverter.request import (
    PromptError,
    StrengthError,
    check_prompt,
    check_strength,
    read_strength,
)

ANY = st.text(st.characters(), max_size=60)  # surrogates and control characters as well
NAMES = st.text("aAbB.-é \n", min_size=1, max_size=4).filter(lambda name: name.strip("."))
PLACES = st.builds(
    lambda folders, name, suffix: "/".join([*folders, f"{name}{suffix}"]),
    st.lists(NAMES, max_size=2), NAMES, st.sampled_from([".jpg", ".JPG", ".png", ".jpg.png", ".webp"]),
)  # fmt: skip


@given(ANY)
def test_prompts(text):
    with contextlib.suppress(PromptError):
        prompt = check_prompt(text)
        assert check_prompt(prompt) == prompt
        assert prompt.encode()
        assert any(character.isprintable() and character != " " for character in prompt)
        assert not {"\0", "\n", "\x1b"} & set(prompt)


@given(st.one_of(st.floats(), st.integers(), st.booleans(), st.none(), ANY, st.just(10**400)))
def test_strengths(value):
    with contextlib.suppress(StrengthError):
        assert -2 <= check_strength(value) <= 2
    if isinstance(value, str):
        with contextlib.suppress(StrengthError):
            assert -2 <= read_strength(value) <= 2


@given(st.lists(PLACES, unique=True, max_size=8))
def test_no_edit_of_a_folder_replaces_another(places):
    folder = Path("/in")
    found = batch.outputs(folder, [folder / place for place in places])
    assert len({name.casefold() for name in found}) == len(places)
    for place, name in zip(places, found, strict=True):
        assert PurePosixPath(name).parent == PurePosixPath(place).parent
        assert name.endswith(".png")
    parents = {str(parent) for name in found for parent in PurePosixPath(name).parents}
    assert not parents & set(found)


@given(ANY)
def test_lines_of_the_manifest(name):
    entry = batch.Entry(
        name, name, name, 1.0, "auto", 0, False, True, True, "m", "d", batch.DONE, name
    )
    line = batch._line(entry)
    assert line.encode().count(b"\n") == 1
    assert len(line.splitlines()) == 1
    assert batch.printable(name).isprintable()


@pytest.mark.parametrize("path", ["", " ", "\t", "a\0b"])
def test_paths_that_are_none(path):
    from clipinverter.__main__ import _path

    with pytest.raises(UsageError):
        _path(path, "of the picture")
