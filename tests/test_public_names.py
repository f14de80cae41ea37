"""The names that `clipinverter` offers: complete, and imported only when they are used."""

import subprocess
import sys

import pytest

import clipinverter


@pytest.mark.parametrize("name", clipinverter.__all__)
def test_every_public_name_is_there(name):
    assert callable(getattr(clipinverter, name))


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Editr'"):
        _ = clipinverter.Editr


def test_the_package_alone_loads_nothing_heavy():
    code = "import sys, clipinverter; print({'torch', 'gradio', 'numpy'} & {*sys.modules})"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "set()"
