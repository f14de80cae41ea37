"""Properties of the networks, at sizes that run in milliseconds."""

import math

import pytest
import torch
import torch.nn.functional as F

from clipinverter.models.adapter import Adapter
from clipinverter.models.discriminator import Discriminator
from clipinverter.models.encoder import Encoder
from clipinverter.models.irse import ArcFace, face_features
from clipinverter.models.ops import blur_kernel, upsample
from clipinverter.models.remapper import RemapperGenerator
from clipinverter.models.stylegan2 import Generator, StyledConv
from clipinverter.training.portraits.growth import grow

STYLE, TEXT = 16, 24
SMALL = {"channel_base": 256, "channel_max": 16}


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.fixture
def generator():
    """32 px, with noise strengths and lambdas that show."""
    net = RemapperGenerator(32, STYLE, 2, **SMALL, text_dim=TEXT)
    for name, parameter in net.named_parameters():
        if name.endswith("noise.weight") or name.startswith("lambdas."):
            parameter.data.fill_(0.3)
    return net.eval().requires_grad_(False)


def small_encoder(size=128, input_size=64, trunk="mobilenet_v2"):
    widths = (128, 256, 512) if trunk == "irse50" else (32, 32, 64)
    return Encoder(trunk, size, STYLE, 16, input_size, widths).eval().requires_grad_(False)


# Generator


@pytest.mark.parametrize("size", [8, 32, 256, 1024])
def test_generator_has_two_latent_rows_a_resolution(size):
    with torch.device("meta"):
        net = Generator(size)
    assert net.n_latent == 2 * math.log2(size) - 2
    assert net.noises.get_buffer(f"noise_{net.n_latent - 2}").shape[-1] == size


@pytest.mark.parametrize("size", [0, 4, 100])
def test_other_sizes_are_refused(size):
    with pytest.raises(ValueError, match="power of two"):
        Generator(size)


@pytest.mark.parametrize("up", [False, True])
def test_modulated_convolution_is_that_of_the_paper(up):
    """Equations 1 and 3: one modulated and demodulated weight for each image."""
    net = StyledConv(6, 5, STYLE, up=up)
    x, style = torch.randn(3, 6, 8, 8), torch.randn(3, 6)
    weight = net.conv.scaled_weight() * style[:, None, :, None, None]
    weight = weight / (weight.square().sum(dim=(2, 3, 4), keepdim=True) + 1e-8).sqrt()
    for i in range(3):
        if up:
            y = F.conv_transpose2d(x[i : i + 1], weight[i].transpose(0, 1), stride=2)
            y = F.conv2d(y, blur_kernel(4).expand(5, 1, 4, 4), padding=1, groups=5)
        else:
            y = F.conv2d(x[i : i + 1], weight[i], padding=1)
        expected = F.leaky_relu(y, 0.2) * math.sqrt(2)
        torch.testing.assert_close(net(x, style, None)[i : i + 1], expected, rtol=1e-4, atol=1e-5)


def test_mapping_ignores_the_length_of_z(generator):
    z = torch.randn(2, STYLE)
    torch.testing.assert_close(generator.mapping(z), generator.mapping(7 * z))


def test_noise_modes(generator):
    w_plus = torch.randn(2, generator.n_latent, STYLE)
    stored = generator(w_plus)
    assert torch.equal(stored, generator(w_plus))
    assert not torch.equal(generator(w_plus, noise="random"), generator(w_plus, noise="random"))
    for name in ("random", "none"):
        assert (generator(w_plus, noise=name) - stored).abs().max() > 1e-3


def test_a_row_reaches_only_its_layers(generator):
    """Row 0 is the 4x4 convolution's alone; the last row is the last to_rgb's alone."""
    w_plus = torch.randn(1, generator.n_latent, STYLE)
    styles = generator.styles(w_plus)
    for row, layers in (
        (0, {0}),
        (1, {1, 2}),
        (2, {3}),
        (3, {4, 5}),
        (generator.n_latent - 1, {10}),
    ):
        other = w_plus.clone()
        other[:, row] += 1
        changed = {
            i
            for i, (a, b) in enumerate(zip(styles, generator.styles(other), strict=True))
            if not torch.equal(a, b)
        }
        assert changed == layers, row


def test_generator_under_bfloat16_stays_close(generator):
    w_plus = torch.randn(4, generator.n_latent, STYLE)
    exact = generator(w_plus)
    with torch.autocast("cpu", torch.bfloat16):
        rough = generator(w_plus)
    assert rough.dtype == torch.float32
    assert (rough - exact).square().mean().sqrt() < 0.03 * exact.std()


# Remapper


def test_without_text_or_strength_the_remapper_is_the_plain_generator(generator):
    plain = Generator(32, STYLE, 2, **SMALL)
    plain.load_state_dict(generator.state_dict(), strict=False)
    w_plus, vectors = torch.randn(2, 8, STYLE), generator.remap_vectors(torch.randn(2, TEXT))
    expected = plain(w_plus)
    assert torch.equal(generator(w_plus), expected)
    assert torch.equal(generator(w_plus, vectors, 0.0), expected)
    assert torch.equal(generator(w_plus, vectors, 0), expected)
    assert not torch.equal(generator(w_plus, vectors, 0.1), expected)


def test_a_full_pull_replaces_the_rows_of_the_convolutions(generator):
    """The pull is strength * 0.9 * lambda, here 1."""
    w_plus, vectors = torch.randn(2, 8, STYLE), generator.remap_vectors(torch.randn(1, TEXT))
    replaced = generator(w_plus, vectors, strength=1 / (0.9 * 0.3))
    expected = Generator.forward(generator, w_plus, conv_rows=vectors.expand(2, -1, -1))
    torch.testing.assert_close(replaced, expected, rtol=1e-4, atol=1e-4)


def test_remapper_trains_its_text_networks():
    net = RemapperGenerator(16, STYLE, 1, **SMALL, text_dim=TEXT)
    net(torch.randn(2, 6, STYLE), net.remap_vectors(torch.randn(2, TEXT))).square().sum().backward()
    for name, parameter in net.named_parameters():
        if name.startswith(("lambdas.", "affine_mlps.")):
            assert parameter.grad.abs().sum() > 0, name


# Growing


def test_a_grown_generator_draws_the_smaller_image_enlarged(generator):
    larger = RemapperGenerator(128, STYLE, 2, **SMALL, text_dim=TEXT)
    grow(generator.state_dict(), larger)
    w_plus = torch.randn(2, larger.n_latent, STYLE)
    small = generator(w_plus[:, : generator.n_latent])
    expected = upsample(upsample(small, blur_kernel(4)), blur_kernel(4))
    image = larger(w_plus)
    torch.testing.assert_close(image, expected, rtol=1e-4, atol=1e-4)
    image.square().sum().backward()
    assert larger.to_rgbs[-1].conv.weight.grad.abs().sum() > 0


def test_a_widened_generator_draws_the_same_image_and_uses_its_new_channels(generator):
    wide = RemapperGenerator(32, STYLE, 2, channel_base=1024, channel_max=32, text_dim=TEXT)
    assert wide.convs[-1].conv.weight.shape[1] > generator.convs[-1].conv.weight.shape[1]
    grow(generator.state_dict(), wide)
    w_plus = torch.randn(2, wide.n_latent, STYLE)
    torch.testing.assert_close(wide(w_plus), generator(w_plus), rtol=1e-4, atol=1e-4)
    before = {k: v.clone() for k, v in wide.state_dict().items()}
    optimizer = torch.optim.SGD(wide.parameters(), lr=1e-3)
    for _ in range(2):  # what listens to the new channels learns first, they themselves after it
        optimizer.zero_grad()
        wide(w_plus).square().sum().backward()
        optimizer.step()
    new_channels = wide.convs[-1].conv.weight[0, -1] - before["convs.1.conv.weight"][0, -1]
    assert new_channels.abs().sum() > 0


@pytest.mark.parametrize("widths", [{"style_dim": STYLE + 1}, {"channel_max": 4}])
def test_growing_into_another_architecture_is_refused(generator, widths):
    sizes = {"size": 64, "style_dim": STYLE, "n_mlp": 2, **SMALL} | widths
    with pytest.raises(ValueError, match="do not fit"):
        grow(generator.state_dict(), Generator(**sizes))


# Discriminator


def test_gradients_agree_with_finite_differences():
    """Of the scores, and of the gradient penalty R1, which differentiates the scores twice."""
    net = Discriminator(8, channel_base=64, channel_max=8).double()
    images = torch.randn(4, 3, 8, 8).double()
    images.requires_grad_()

    def score():
        return net(images).sum()

    def penalty():
        (gradient,) = torch.autograd.grad(score(), images, create_graph=True)
        return gradient.square().sum()

    weights = [p for p in net.parameters() if p.ndim > 1]
    for function, variables in ((score, [images, *weights]), (penalty, weights)):
        gradients = torch.autograd.grad(function(), variables)
        for variable, gradient in zip(variables, gradients, strict=True):
            step = 1e-6 * torch.randn_like(variable)
            variable.data += step
            above = function()
            variable.data -= 2 * step
            below = function()
            variable.data += step
            expected = (above - below).item() / 2
            assert (gradient * step).sum().item() == pytest.approx(expected, rel=1e-3, abs=1e-10)


def test_groups_of_the_batch_do_not_see_each_other():
    net = Discriminator(8, **SMALL)
    first, second = torch.randn(4, 3, 8, 8), torch.randn(4, 3, 8, 8)
    torch.testing.assert_close(net(torch.cat([first, second]))[:4], net(first))
    assert (net(first[:1].expand(4, -1, -1, -1)) - net(first)[0]).abs().max() > 1e-4


@pytest.mark.parametrize("batch", [1, 2, 3, 6, 7])
def test_discriminator_takes_any_batch(batch):
    assert Discriminator(8, **SMALL)(torch.randn(batch, 3, 8, 8)).shape == (batch,)


# Encoder


@pytest.mark.parametrize(
    ("trunk", "size", "input_size"),
    [("irse50", 32, 64), ("mobilenet_v2", 32, 64), ("mobilenet_v2", 128, 128)],
)
def test_encoder_is_trunk_then_heads(trunk, size, input_size):
    net = small_encoder(size, input_size, trunk)
    images = torch.randn(1, 3, input_size, input_size)
    features = net.trunk_features(images)
    strides = [input_size // x.shape[2] for x in features]
    assert strides == [4, 8, 16]
    codes = net(images)
    assert torch.equal(codes, net.heads(*features))
    assert codes.shape == (1, 2 * math.log2(size) - 2, STYLE)


def test_each_head_reads_its_level():
    """Rows 0 to 2 read c3; rows 3 to 6 also c2; later ones also c1; all add row 0."""
    net = small_encoder(128)
    features = net.trunk_features(torch.randn(1, 3, 64, 64))
    codes = net.heads(*features)
    for level, rows in ((0, range(7, 12)), (1, range(3, 12)), (2, range(12))):
        other = [x + torch.randn_like(x) if i == level else x for i, x in enumerate(features)]
        changed = (net.heads(*other) != codes).any(dim=2)[0].nonzero()[:, 0].tolist()
        assert changed == list(rows)


def test_unknown_trunk_and_widths_are_refused():
    with pytest.raises(ValueError, match="unknown trunk"):
        Encoder("vgg", 32)
    with pytest.raises(ValueError, match="widths"):
        Encoder("irse50", 32, widths=(32, 32, 32))


# Adapter


def test_adapter_keeps_shapes_and_shares_a_batch_of_one():
    net = Adapter((32, 64, 96), TEXT).eval().requires_grad_(False)
    photo = tuple(torch.randn(1, c, 64 // s, 64 // s) for c, s in ((32, 4), (64, 8), (96, 16)))
    texts = torch.randn(3, TEXT)
    together = net(photo, texts)
    assert [x.shape[1:] for x in together] == [x.shape[1:] for x in photo]
    for i in range(3):
        alone = net(photo, texts[i : i + 1])
        for a, b in zip(together, alone, strict=True):
            torch.testing.assert_close(a[i : i + 1], b, rtol=1e-4, atol=1e-5)


def test_adapter_depends_on_the_length_of_the_text_embedding():
    """The paper's code does not normalise it."""
    net = Adapter((32, 32, 32), TEXT)
    photo = tuple(torch.randn(1, 32, 4, 4) for _ in range(3))
    text = torch.randn(1, TEXT)
    # The first layer is linear with a bias, before a layer norm: compare well apart lengths.
    short, long = net(photo, 0.1 * text), net(photo, 10 * text)
    assert (short[0] - long[0]).abs().max() > 1e-2


# Identity


def small_arcface():
    net = ArcFace((32, 32, 32, 64), (1, 1, 1, 1), embedding_dim=48)
    return net.eval().requires_grad_(False)


def test_face_features_are_unit_vectors_of_the_inner_face():
    net, images = small_arcface(), torch.randn(2, 3, 256, 256)
    features = face_features(net, images)
    assert features.shape == (2, 48)
    torch.testing.assert_close(features.norm(dim=1), torch.ones(2))
    framed = images.clone()
    framed[:, :, 35:223, 32:220] = 0
    torch.testing.assert_close(face_features(net, images - framed), features)


@pytest.mark.parametrize("factor", [0.5, 4])
def test_face_features_see_the_same_region_at_every_size(factor):
    net, image = small_arcface(), torch.randn(1, 3, 128, 128).repeat_interleave(2, 2)
    image = image.repeat_interleave(2, 3)
    other = F.interpolate(image, scale_factor=factor, mode="nearest")
    torch.testing.assert_close(face_features(net, other), face_features(net, image))


# All


def test_a_batch_gives_what_single_images_give(generator):
    w_plus, text = torch.randn(3, generator.n_latent, STYLE), torch.randn(3, TEXT)
    images = torch.randn(3, 3, 64, 64)
    encoder, arcface = small_encoder(), small_arcface()
    for function, inputs in (
        (lambda w, t: generator(w, generator.remap_vectors(t)), (w_plus, text)),
        (encoder, (images,)),
        (lambda x: face_features(arcface, x), (images,)),
    ):
        together = function(*inputs)
        for i in range(3):
            alone = function(*(x[i : i + 1] for x in inputs))
            torch.testing.assert_close(together[i : i + 1], alone, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("build", "shape"),
    [
        (lambda: Generator(16, STYLE, 1, **SMALL), (1, 6, STYLE)),
        (lambda: Discriminator(16, **SMALL), (1, 3, 16, 16)),
        (lambda: small_encoder(), (1, 3, 64, 64)),
        (small_arcface, (1, 3, 112, 112)),
    ],
)
def test_everything_a_network_needs_is_in_its_state_dict(build, shape):
    """So a network can be made without memory and filled from a file."""
    net = build().eval()
    with torch.device("meta"):
        copy = build().eval()
    copy.load_state_dict(net.state_dict(), strict=True, assign=True)
    x = torch.randn(shape)
    assert torch.equal(copy(x), net(x))
