"""Drawing one image in less time: the same pictures, a preview, and what less precision costs."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F

from clipinverter.editor import Editor
from clipinverter.models import drawing, encoder
from clipinverter.models.encoder import Encoder
from clipinverter.models.remapper import RemapperGenerator
from clipinverter.models.stylegan2 import Generator
from clipinverter.photo.tensors import to_tensor
from clipinverter.weights import load
from clipinverter.weights.load import default_precision, serve_in
from tests.tiny import DOMAIN, picture, tiny_models

STYLE = 16
LARGE = dataclasses.replace(DOMAIN, image_size=1024, channel_base=2048)


def generator_of(size: int) -> RemapperGenerator:
    """With noise strengths, biases and lambdas that show."""
    torch.manual_seed(0)
    net = RemapperGenerator(size, STYLE, 1, channel_base=2048, channel_max=16, text_dim=STYLE)
    for name, parameter in net.named_parameters():
        if name.endswith(("noise.weight", "activate.bias", ".bias")) or name.startswith("lambdas."):
            parameter.data += 0.3 * torch.rand_like(parameter)
    return net.eval().requires_grad_(False)


def plainly(net: Generator, w_plus: torch.Tensor) -> torch.Tensor:
    """The layers as training runs them."""
    return net(w_plus.expand(2, -1, -1))[:1]


@pytest.mark.parametrize("band", [1, 2**13, drawing.BAND_BYTES])
def test_one_image_in_bands_is_that_of_the_layers(monkeypatch, band):
    monkeypatch.setattr(drawing, "BAND_BYTES", band)
    net = generator_of(64)
    w_plus = torch.randn(1, net.n_latent, STYLE)
    torch.testing.assert_close(net(w_plus), plainly(net, w_plus), rtol=1e-4, atol=1e-5)


def test_gradients_still_reach_the_latent_and_the_weights():
    net = generator_of(16)
    w_plus = torch.randn(1, net.n_latent, STYLE, requires_grad=True)
    net(w_plus).square().sum().backward()
    assert w_plus.grad.abs().min(dim=2).values.max() > 0
    net.requires_grad_(True)(w_plus.detach()).square().sum().backward()
    assert net.convs[0].conv.weight.grad.abs().sum() > 0


def test_large_images_have_a_preview():
    net = generator_of(1024)
    w_plus, seen = torch.randn(1, net.n_latent, STYLE), []
    image = net(w_plus, on_preview=lambda preview: seen.append(preview.clone()))
    assert [tuple(preview.shape) for preview in seen] == [(1, 3, 256, 256)]
    small = F.avg_pool2d(image, 4)
    together = torch.stack([small.flatten(), seen[0].flatten()])
    assert torch.corrcoef(together)[0, 1] > 0.5, "a smaller version of the same picture"
    net = generator_of(512)
    net(torch.randn(1, net.n_latent, STYLE), on_preview=seen.append)
    assert len(seen) == 1


def test_the_editor_shows_the_preview_while_it_draws():
    editor = Editor(tiny_models(LARGE))
    inversion = editor.invert(picture(), "none")
    seen = []
    edit = editor.edit(inversion, "a smiling woman", on_preview=seen.append)
    assert [preview.size for preview in seen] == [(256, 256)]
    assert edit.image.size == (1024, 1024)
    editor.edit(inversion, "a smiling woman", on_preview=seen.append)
    assert len(seen) == 1, "what is kept needs no preview"


def test_small_convolutions_as_products_are_the_same(monkeypatch):
    torch.manual_seed(0)
    net = Encoder("mobilenet_v2", 32, STYLE, 16, 64, (32, 32, 32)).eval().requires_grad_(False)
    maps = [torch.randn(2, 32, s, s) for s in (16, 8, 4)]
    products = net.heads(*maps)
    monkeypatch.setattr(encoder, "SMALL", 0)
    torch.testing.assert_close(products, net.heads(*maps), rtol=1e-4, atol=1e-5)


def test_bfloat16_stays_close_and_zero_strength_exact():
    exact, rough = tiny_models(), tiny_models()
    serve_in(torch.bfloat16, rough.generator, rough.encoder, rough.adapter)
    assert rough.generator.state_dict().keys() == exact.generator.state_dict().keys()
    assert rough.encoder.state_dict().keys() == exact.encoder.state_dict().keys()
    edits = []
    for models in (exact, rough):
        editor = Editor(models)
        inversion = editor.invert(picture(), "none")
        edit = editor.edit(inversion, "a smiling woman", 0)
        assert edit.image.tobytes() == inversion.image.tobytes()
        edits.append(editor.edit(inversion, "a smiling woman", 1))
        assert edits[-1].residual.dtype == torch.float32
    pictures = [to_tensor(edit.image) for edit in edits]
    assert not torch.equal(*pictures)
    assert (pictures[0] - pictures[1]).square().mean() < 4 * 10 ** (-4.0)  # 40 dB


@pytest.mark.parametrize("capable", [True, False])
def test_only_large_images_on_capable_cpus_are_drawn_in_bfloat16(monkeypatch, capable):
    monkeypatch.setattr(load, "computes_in_bfloat16", lambda: capable)
    expected = torch.bfloat16 if capable else torch.float32
    assert default_precision(LARGE, torch.device("cpu")) == expected
    assert default_precision(LARGE, torch.device("cuda")) == torch.float32
    assert default_precision(DOMAIN, torch.device("cpu")) == torch.float32
