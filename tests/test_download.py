"""The authors' files: fetched with interruptions, checked, converted once, and loaded."""

import dataclasses
import errno
import json
import re
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import safetensors.torch
import torch

from clipinverter import domains
from clipinverter.__main__ import main
from clipinverter.models.adapter import LEVELS, Adapter
from clipinverter.weights import convert, download, files
from clipinverter.weights.build import build_networks
from clipinverter.weights.files import CheckpointError, load_weights
from tests.tiny import DOMAIN

FACES = dataclasses.replace(DOMAIN, name="faces", text_image="openai")
OPTS = {"stylegan_size": 32, "start_from_latent_avg": True} | {
    f"no_{level}_mapper": False for level in LEVELS
}


@pytest.fixture
def domain(tmp_path, monkeypatch):
    """A tiny domain of that name, whose folder is empty and whose disk is large enough."""
    monkeypatch.setattr(domains, "ROOT", tmp_path)
    monkeypatch.setattr(domains, "DOMAINS", {"faces": FACES})
    monkeypatch.setattr(download, "ROOM", 0)
    monkeypatch.setattr(download, "CONVERTED", 0)
    return FACES


@pytest.fixture
def published(tmp_path):
    """A folder with published files, under names of their own."""
    folder = tmp_path / "published"
    folder.mkdir()
    publish(folder)
    return folder


def publish(folder, opts=OPTS, levels=LEVELS, seed=0):
    torch.manual_seed(seed)
    generator, encoder, _ = build_networks(FACES)
    adapter = Adapter(FACES.encoder_widths, FACES.text_dim, levels)
    state = {f"adapter.{k}": v for k, v in adapter.state_dict().items()}
    state |= {f"decoder.{k}": v for k, v in generator.state_dict().items()}
    torch.save({"state_dict": state, "opts": opts}, folder / "pretrained.pt")
    state = {f"encoder.{k}": v for k, v in encoder.state_dict().items()}
    state |= {"decoder.input.input": torch.ones(1)}
    latent_avg = torch.randn(generator.n_latent, FACES.style_dim)
    torch.save({"state_dict": state, "latent_avg": latent_avg, "opts": {}}, folder / "ffhq.pt")
    weights = {"visual.conv1.weight": torch.randn(4), "text_projection": torch.randn(3)}
    safetensors.torch.save_file(
        weights | {"vocab_size": torch.tensor(49408)}, folder / "text.safetensors"
    )
    return state, latent_avg


@pytest.fixture
def drive(published, monkeypatch):
    """The published files on a server of our own; `broken` makes transfers stop half-way."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            data = (published / self.path[1:]).read_bytes()
            start = int((self.headers.get("Range") or "bytes=0-")[6:].split("-")[0])
            requests.append((self.path[1:], start))
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(data) - start))
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
            self.end_headers()
            self.wfile.write(data[start : len(data) // 2 if self.path[1:] in broken else None])

        def log_message(self, *args):
            pass

    requests, broken = [], set()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}/"
    sources = {
        "CLIPInverter": download.Source(f"{address}pretrained.pt", "clipinverter.pt", 1),
        "e4e": download.Source(f"{address}ffhq.pt", "e4e.pt", 1),
        "CLIP": download.Source(f"{address}text.safetensors", "clip", 1),
    }
    monkeypatch.setattr(download, "SOURCES", sources)
    monkeypatch.setattr(download, "_from_hub", lambda folder: published / "text.safetensors")
    yield requests, broken
    server.shutdown()
    server.server_close()


def names(folder):
    return {path.name for path in folder.iterdir()}


FILES = {f"{part}.safetensors" for part in ("generator", "encoder", "adapter", "clip")}


def test_files_at_hand_are_converted(domain, published, capsys):
    state, latent_avg = publish(published)
    before = {path: path.read_bytes() for path in published.iterdir()}
    assert main(["download", "faces", "--from", str(published)]) == 0
    assert "make demo DOMAIN=faces" in capsys.readouterr().out
    assert names(domain.folder) == FILES | {"origin.json"}
    encoder = load_weights(domain.folder / "encoder.safetensors")
    assert torch.equal(encoder.pop("latent_avg"), latent_avg)
    expected = {k.removeprefix("encoder."): v for k, v in state.items() if k.startswith("encoder.")}
    assert encoder.keys() == expected.keys()
    assert all(torch.equal(encoder[key], value) for key, value in expected.items())
    clip = load_weights(domain.folder / "clip.safetensors")
    assert clip.keys() == {"visual.conv1.weight", "text_projection"}
    assert {path: path.read_bytes() for path in published.iterdir()} == before
    for network, part in zip(build_networks(domain), ("generator", "", "adapter"), strict=True):
        if part:
            network.load_state_dict(load_weights(domain.folder / f"{part}.safetensors"))


def test_half_the_bits(domain, published):
    assert main(["download", "faces", "--from", str(published), "--half"]) == 0
    sizes = [(domain.folder / name).stat().st_size for name in ("generator.safetensors",)]
    assert main(["download", "faces", "--from", str(published)]) == 0
    assert sizes[0] < 0.7 * (domain.folder / "generator.safetensors").stat().st_size


def test_a_download_goes_on_where_it_stopped(domain, drive, capsys):
    requests, broken = drive
    broken.add("ffhq.pt")
    assert main(["download", "faces"]) == 1
    message = capsys.readouterr().err
    assert "\nerror: e4e could not be downloaded (" in message
    assert "goes on where it stopped" in message
    assert "--from" in message
    assert not FILES & names(domain.folder)
    broken.clear()
    requests.clear()
    assert main(["download", "faces"]) == 0
    assert {name for name, _ in requests} == {"ffhq.pt"}, "what is complete is not fetched again"
    assert requests[-1][1] > 0
    assert names(domain.folder) == FILES | {"origin.json"}


def test_what_is_there_is_not_fetched_again_and_what_was_damaged_is(domain, drive, capsys):
    requests, _ = drive
    assert main(["download", "faces"]) == 0
    record = json.loads((domain.folder / "origin.json").read_text())
    assert set(record["published"]) == {"CLIPInverter", "e4e", "CLIP"}
    assert record["converted"].keys() == FILES
    requests.clear()
    assert main(["download", "faces"]) == 0
    assert "there already" in capsys.readouterr().out
    assert requests == []
    (domain.folder / "adapter.safetensors").write_bytes(b"damaged")
    assert main(["download", "faces"]) == 0
    assert {name for name, _ in requests} == {"pretrained.pt", "ffhq.pt"}
    assert load_weights(domain.folder / "adapter.safetensors")


def test_another_file_than_the_first_time_is_refused(domain, published, drive, capsys):
    assert main(["download", "faces"]) == 0
    kept = (domain.folder / "encoder.safetensors").read_bytes()
    publish(published, seed=1)
    (domain.folder / "adapter.safetensors").unlink()
    assert main(["download", "faces"]) == 1
    message = capsys.readouterr().err
    assert re.search(r"sha256 is \w{64}, not \w{64}\. If you trust the new one, delete", message)
    assert (domain.folder / "encoder.safetensors").read_bytes() == kept


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"<!DOCTYPE html><title>Quota exceeded</title>", "is a web page, not weights"),
        (b"", "empty"),
        ("e4e", "gave is e4e, not CLIPInverter"),
    ],
)
def test_a_wrong_file_is_removed(domain, published, drive, capsys, content, words):
    path = published / "pretrained.pt"
    good = path.read_bytes()
    path.write_bytes((published / "ffhq.pt").read_bytes() if content == "e4e" else content)
    assert main(["download", "faces"]) == 1
    message = capsys.readouterr().err
    assert words in message
    assert "removed" in message or "--from" in message
    path.write_bytes(good)
    assert main(["download", "faces"]) == 0


def test_no_network(domain, monkeypatch, capsys):
    address = "http://127.0.0.1:9/file"
    sources = {kind: download.Source(address, kind, 1) for kind in download.SOURCES}
    monkeypatch.setattr(download, "SOURCES", sources)
    assert main(["download", "faces"]) == 1
    message = capsys.readouterr().err
    assert message.startswith("error: CLIPInverter could not be downloaded (")
    assert message.count("\n") == 1
    assert f"save {address} by a browser" in message


def test_no_room(domain, published, monkeypatch, capsys):
    monkeypatch.setattr(download, "CONVERTED", 10**18)
    assert main(["download", "faces", "--from", str(published)]) == 1
    message = capsys.readouterr().err
    assert re.search(r"has [\d.]+ GB free; [\d.]+ GB are needed\. Make room", message)
    assert not domain.folder.exists()


def test_a_disk_that_fills_up(domain, published, drive, monkeypatch, capsys):
    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(download, "_from_drive", full)
        assert main(["download", "faces"]) == 1
    assert "disk is full" in capsys.readouterr().err
    with monkeypatch.context() as patch:
        patch.setattr(files.safetensors.torch, "save_file", full)
        assert main(["download", "faces"]) == 1
    assert "could not be written" in capsys.readouterr().err
    assert main(["download", "faces"]) == 0


def test_an_interruption_is_no_trace(domain, monkeypatch, capsys):
    def stop(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(download, "_from_drive", stop)
    assert main(["download", "faces"]) == 130
    assert "goes on from there" in capsys.readouterr().err


def test_only_what_is_published_can_be_downloaded(monkeypatch, tmp_path, capsys):
    assert main(["download", "portraits"]) == 1
    assert "comes with the project" in capsys.readouterr().err
    assert main(["download", "dogs"]) == 2
    assert "There is no domain 'dogs'" in capsys.readouterr().err
    with pytest.raises(CheckpointError, match="There is no folder"):
        convert.find(tmp_path / "nowhere")


def test_programs_among_the_files_are_left_alone(published):
    """OpenAI's own file of CLIP is TorchScript."""
    with zipfile.ZipFile(published / "ViT-B-32.pt", "w") as archive:
        archive.writestr("archive/code/__torch__/model.py", "import os")
    kinds = convert.find(published)
    assert {kind: path.name for kind, path in kinds.items()} == {
        "CLIPInverter": "pretrained.pt", "e4e": "ffhq.pt", "CLIP": "text.safetensors"
    }  # fmt: skip


class TestOptions:
    """What the options of a published file change."""

    def test_without_the_average_latent(self, domain, published):
        publish(published, OPTS | {"start_from_latent_avg": False})
        convert.convert(convert.find(published), domain)
        assert not load_weights(domain.folder / "encoder.safetensors")["latent_avg"].any()

    @pytest.mark.parametrize("off", LEVELS)
    def test_a_level_that_is_off_passes_its_features_on(self, domain, published, off):
        levels = [level for level in LEVELS if level != off]
        publish(published, OPTS | {f"no_{off}_mapper": True}, levels)
        convert.convert(convert.find(published), domain)
        weights = load_weights(domain.folder / "adapter.safetensors")
        assert {key.split("_")[0] for key in weights} == set(levels)
        adapter = Adapter(domain.encoder_widths, domain.text_dim, levels)
        adapter.load_state_dict(weights)
        features = tuple(torch.randn(1, width, 4, 4) for width in domain.encoder_widths)
        changed = adapter(features, torch.randn(1, domain.text_dim))
        for level, old, new in zip(reversed(LEVELS), features, changed, strict=True):
            assert torch.equal(old, new) == (level == off)

    @pytest.mark.parametrize(
        ("opts", "levels", "words"),
        [
            (OPTS | {"no_fine_mapper": True}, LEVELS, "ask for the levels coarse, medium of"),
            (OPTS, ("coarse", "fine"), "but it has coarse, fine"),
            (OPTS | {"stylegan_size": 256}, LEVELS, "for pictures of 256 px"),
        ],
    )
    def test_contradictions_are_refused(self, domain, published, opts, levels, words):
        publish(published, opts, levels)
        with pytest.raises(CheckpointError, match=words):
            convert.convert(convert.find(published), domain)
        assert not domain.folder.exists()

    def test_training_stage_one_is_refused(self, domain, published):
        path = published / "pretrained.pt"
        content = torch.load(path, weights_only=True)
        keys = [k for k in content["state_dict"] if "affine_mlps" in k or "lambdas" in k]
        assert keys
        for key in keys:
            del content["state_dict"][key]
        torch.save(content, path)
        with pytest.raises(CheckpointError, match="stage one and has no remapper"):
            convert.convert(convert.find(published), domain)

    def test_a_part_that_does_not_fit_is_named(self, domain, published):
        path = published / "ffhq.pt"
        content = torch.load(path, weights_only=True)
        content["state_dict"]["encoder.styles.0.linear.bias"] = torch.zeros(5)
        torch.save(content, path)
        with pytest.raises(
            CheckpointError, match=r"ffhq\.pt does not fit .*styles\.0\.linear\.bias"
        ):
            convert.convert(convert.find(published), domain)
