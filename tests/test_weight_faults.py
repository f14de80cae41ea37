"""Files of weights as people have them: each is refused with file, reason and next step, or used."""

import os
import zipfile

import pytest
import safetensors.torch
import torch

from clipinverter.domains import Domain
from clipinverter.weights import convert
from clipinverter.weights.files import CheckpointError, load_weights, save_weights
from clipinverter.weights.folder import DomainWeights
from clipinverter.weights.published import kind_of
from tests import test_download
from tests.test_download import OPTS, publish

domain, published = test_download.domain, test_download.published


def change(path, edit) -> None:
    """Saves a published file again, with what `edit` does to its content."""
    content = torch.load(path, weights_only=True)
    edit(content)
    torch.save(content, path)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"<!DOCTYPE html><html>Quota exceeded</html>", "is a web page, not weights"),
        (b"  <html><head>", "is a web page, not weights"),
        (b'{"error": "gated"}', "is an answer of a server that refused"),
        (b"\x1f\x8b\x08" + b"0" * 60, "is a packed archive"),
        (b"version https://git-lfs.github.com/spec/v1", "run `git lfs pull`"),
        (b"", "is empty"),
        (b"\x80\x02cos\nsystem\nq\x00X\x04\x00\x00\x00truerq\x01.", "x.pt"),
        (b"\x80\x04\x95" + bytes(range(40)), "x.pt is damaged or not a PyTorch checkpoint"),
        (b"PK\x03\x04" + b"0" * 60, "x.pt is damaged or not a PyTorch checkpoint"),
    ],
)
def test_what_is_no_weights_is_told_apart(tmp_path, content, sentence):
    path = tmp_path / "x.pt"
    path.write_bytes(content)
    with pytest.raises(CheckpointError) as refusal:
        kind_of(path)
    assert sentence in str(refusal.value)
    assert "PyTorch 2.6" not in str(refusal.value)
    assert "only load failed" not in str(refusal.value)
    assert str(refusal.value).endswith(".")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes")
def test_pipes_and_devices_are_not_opened(tmp_path, published):
    os.mkfifo(published / "a.pt")
    (published / "b.pt").symlink_to("/dev/zero")
    said = []
    assert set(convert.find(published, said.append)) == {"CLIPInverter", "e4e", "CLIP"}
    assert [("a.pt" in line or "b.pt" in line) and "no plain file" in line for line in said] == [
        True
    ] * 2
    with pytest.raises(CheckpointError, match="no plain file"):
        load_weights(published / "a.pt")


def test_a_file_that_unpacks_to_far_more_is_refused_from_its_list(tmp_path):
    path = tmp_path / "x.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x/data.pkl", b"0" * 50_000_000)
    with pytest.raises(CheckpointError, match="unpacks to 50 MB"):
        kind_of(path)


def test_foreign_files_are_named_and_skipped(domain, published):
    (published / "page.pt").write_bytes(b"<html>")
    (published / "zz.pt").write_bytes(b"junk")
    torch.save({"model": torch.ones(2)}, published / "yolo.pt")
    torch.save(torch.ones(2), published / "tensor.pt")
    said = []
    files = convert.find(published, said.append)
    assert {line.split("/")[-1].split(".pt")[0] for line in said} == {
        "page",
        "zz",
        "yolo",
        "tensor",
    }
    assert len(convert.convert(files, domain)) == 4


BAD = [float("nan"), float("inf"), -float("inf")]


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize(
    ("name", "key", "part"),
    [
        ("pretrained.pt", "adapter.coarse_mapping", "adapter"),
        ("pretrained.pt", "decoder.style", "generator"),
        ("ffhq.pt", "encoder.styles", "encoder"),
    ],
)
def test_numbers_that_are_none_are_refused(domain, published, name, key, part, bad):
    def spoil(content):
        found = next(k for k, v in content["state_dict"].items() if k.startswith(key) and v.numel())
        content["state_dict"][found].view(-1)[0] = bad

    change(published / name, spoil)
    with pytest.raises(CheckpointError, match=f"{name}: the {part} holds .* at `") as refusal:
        convert.convert(convert.find(published), domain)
    assert "meaningless" in str(refusal.value)
    assert not domain.folder.exists(), "nothing is written"


def test_an_average_latent_that_is_none(domain, published):
    change(published / "ffhq.pt", lambda content: content["latent_avg"].fill_(float("nan")))
    with pytest.raises(CheckpointError, match="encoder holds NaN at `latent_avg`"):
        convert.convert(convert.find(published), domain)
    assert not domain.folder.exists()


@pytest.mark.parametrize(
    "average",
    [torch.zeros(0), torch.zeros(0, 32), torch.zeros(1, 0), torch.zeros(2, 2, 2), torch.tensor(1.0),
     torch.zeros(1).expand(10**9), torch.zeros(17), torch.zeros(3, 32), "text"],
    ids=str,
)  # fmt: skip
def test_average_latents_of_other_shapes(domain, published, average):
    change(published / "ffhq.pt", lambda content: content.update(latent_avg=average))
    with pytest.raises(CheckpointError, match=r"ffhq\.pt.*`latent_avg`"):
        convert.convert(convert.find(published), domain)
    assert not domain.folder.exists()


def test_without_an_average_latent_it_is_taken_or_computed(domain, published):
    """Of another file that has it, or of latents drawn by the generator's own mapping."""
    average = torch.load(published / "ffhq.pt", weights_only=True)["latent_avg"]
    change(published / "ffhq.pt", lambda content: content.pop("latent_avg"))
    convert.convert(convert.find(published), domain)
    computed = load_weights(domain.folder / "encoder.safetensors")["latent_avg"]
    assert computed.shape == average.shape
    assert computed.isfinite().all()
    assert computed.any()
    convert.convert(convert.find(published), domain)
    assert torch.equal(load_weights(domain.folder / "encoder.safetensors")["latent_avg"], computed)
    change(published / "pretrained.pt", lambda content: content.update(latent_avg=average[0]))
    convert.convert(convert.find(published), domain)
    taken = load_weights(domain.folder / "encoder.safetensors")["latent_avg"]
    assert torch.equal(taken, average[:1].expand_as(average))


class TestServed:
    """Files in the domain's folder, which somebody may have put there by hand."""

    @pytest.fixture
    def weights(self, domain, published) -> DomainWeights:
        convert.convert(convert.find(published), domain)
        return DomainWeights(domain)

    def rewrite(self, domain: Domain, part: str, edit) -> None:
        path = domain.folder / f"{part}.safetensors"
        content = safetensors.torch.load_file(path)
        edit(content)
        save_weights(path, content, half=False)

    def test_good_ones_load(self, weights):
        assert weights.adapter()
        assert weights.encoder()

    def test_an_adapter_without_tensors(self, weights, domain):
        self.rewrite(domain, "adapter", dict.clear)
        with pytest.raises(CheckpointError, match=r"adapter\.safetensors do not fit"):
            weights.adapter()

    def test_an_adapter_without_one_level(self, weights, domain):
        def drop(content):
            for key in [key for key in content if key.startswith("medium")]:
                del content[key]

        self.rewrite(domain, "adapter", drop)
        with pytest.raises(CheckpointError, match=r"adapter\.safetensors do not fit"):
            weights.adapter()

    def test_an_adapter_that_was_trained_without_one_level(self, domain, published):
        publish(published, OPTS | {"no_medium_mapper": True}, ["coarse", "fine"])
        convert.convert(convert.find(published), domain)
        assert DomainWeights(domain).adapter()

    @pytest.mark.parametrize("width", [None, 5])
    def test_an_average_latent_of_another_width(self, weights, domain, width):
        def change(content):
            old = content.pop("latent_avg")
            if width:
                content["latent_avg"] = torch.zeros(len(old), width)

        self.rewrite(domain, "encoder", change)
        with pytest.raises(CheckpointError, match=r"encoder\.safetensors do not fit"):
            weights.encoder()

    @pytest.mark.parametrize("bad", BAD)
    def test_numbers_that_are_none(self, weights, domain, bad):
        def spoil(content):
            content[next(iter(content))].view(-1)[0] = bad

        self.rewrite(domain, "generator", spoil)
        with pytest.raises(CheckpointError, match=r"generator\.safetensors holds .* at `"):
            weights.generator()
