"""Nothing of a photo's metadata comes through, and the same input gives the same bytes."""

import hashlib
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import ExifTags, Image, PngImagePlugin

from clipinverter.__main__ import main
from clipinverter.photo.load import load_photo
from clipinverter.weights import load
from tests.tiny import picture, tiny_models

ROOT = Path(__file__).parents[1]
SECRETS = ("Zaphod's camera", "serial-4711", "a comment", "thumbnail")
KINDS = ("JPEG", "PNG", "WEBP", "HEIF")


def revealing(kind: str) -> bytes:
    """A photo with a camera, a place, a comment, XMP and a thumbnail in its metadata."""
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = SECRETS[0]
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.BodySerialNumber] = SECRETS[1]
    place = exif.get_ifd(ExifTags.IFD.GPSInfo)
    place[ExifTags.GPS.GPSLatitudeRef], place[ExifTags.GPS.GPSLatitude] = "N", (52.0, 31.0, 12.0)
    xmp = f"<x:xmpmeta xmlns:x='adobe:ns:meta/'>{SECRETS[3]}</x:xmpmeta>".encode()
    options: dict = {"exif": exif}
    if kind == "PNG":
        options["pnginfo"] = PngImagePlugin.PngInfo()
        options["pnginfo"].add_text("Comment", SECRETS[2])
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", xmp.decode())
    elif kind == "HEIF":
        pytest.importorskip("pi_heif")
        try:
            from pillow_heif import register_heif_opener
        except ImportError:  # pi_heif reads only: a photo as a phone wrote it
            return (ROOT / "tests" / "pictures" / "turned.heic").read_bytes()
        register_heif_opener()
        options["xmp"] = xmp
    else:
        options["xmp"] = xmp
        options |= {"comment": SECRETS[2]} if kind == "JPEG" else {}
    file = io.BytesIO()
    picture(3).save(file, kind, **options)
    return file.getvalue()


@pytest.fixture(scope="module")
def models():
    return tiny_models()


@pytest.mark.parametrize("kind", KINDS)
def test_a_photo_loses_its_metadata_when_it_is_read(kind):
    data = revealing(kind)
    if kind != "HEIF":
        assert SECRETS[0].encode() in data
        assert SECRETS[3].encode() in data
    photo = load_photo(data)
    assert photo.info == {}
    assert not photo.getexif()


@pytest.mark.parametrize("paste", [[], ["--paste"]])
@pytest.mark.parametrize("out", ["out.png", "out.jpg", "out.webp"])
@pytest.mark.parametrize("kind", KINDS)
def test_no_metadata_comes_through(tmp_path, monkeypatch, models, kind, out, paste):
    monkeypatch.setattr(load, "load_models", lambda domain, device=None: models)
    monkeypatch.chdir(tmp_path)
    Path("photo").write_bytes(revealing(kind))
    assert main(["edit", "--plain", "--align", "none", "photo", "a man", "-o", out, *paste]) == 0
    data = Path(out).read_bytes()
    assert not [secret for secret in SECRETS if secret.encode() in data]
    with Image.open(out) as image:
        exif = image.getexif()
        assert not exif.get_ifd(ExifTags.IFD.GPSInfo)
        assert not exif.get_ifd(ExifTags.IFD.IFD1)
        assert set(exif) <= {ExifTags.Base.Software, ExifTags.Base.ImageDescription}
        assert not {"icc_profile", "xmp", "comment", "photoshop"} & set(image.info)


EDIT = """
import sys
from clipinverter.__main__ import main
from clipinverter.weights import load
from tests.tiny import tiny_models
load.load_models = lambda domain, device=None: tiny_models()
sys.exit(main(["edit", "--align", "none", "--plain", "--paste", sys.argv[1], "a man", "-o", sys.argv[2]]))
"""


def test_the_same_input_gives_the_same_bytes_after_a_restart(tmp_path):
    """On one machine with one number of threads; another kind of CPU may round otherwise."""
    picture(4).save(tmp_path / "photo.png")
    outs = [tmp_path / "0.png", tmp_path / "1.png"]
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", EDIT, str(tmp_path / "photo.png"), str(out)],
            cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONHASHSEED": str(seed)},
        )
        for seed, out in enumerate(outs)
    ]  # fmt: skip
    assert [run.wait(300) for run in runs] == [0, 0]
    first, second = (hashlib.sha256(out.read_bytes()).hexdigest() for out in outs)
    assert first == second
