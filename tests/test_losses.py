"""The losses against the authors' code (case 09; case 06 is in test_golden.py) and examples computed by hand."""

import io
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from clipinverter.models.losses import (
    clip_loss,
    clip_pool,
    directional_clip_loss,
    identity_loss,
    r1_penalty,
    w_norm_loss,
)
from clipinverter.models.mobilenet_speed import Float32Conv2d, fold, quicken
from clipinverter.portraits.scene import Scene
from clipinverter.training import lpips
from clipinverter.training.mobilenet import Perceptual, state
from clipinverter.training.portraits import clip as clip_stage
from clipinverter.training.portraits import data
from clipinverter.training.portraits.clip import label_loss
from clipinverter.training.portraits.encoder import delta_loss
from clipinverter.training.presets import STAGE_ONE, STAGE_TWO, LossWeights
from clipinverter.training.ranger import ranger
from tests.golden import fill


def rows(*values: tuple[float, ...]) -> Tensor:
    return torch.tensor(values)


X, Y, Z = (tuple(row) for row in torch.eye(3).tolist())


# Case 09: what the authors feed CLIP, and the two CLIP losses with a stand-in encoder.


@pytest.fixture(scope="module")
def pooled(golden):
    """`pooled(name, size)`: a smooth image as CLIP gets it."""
    return lambda name, size: clip_pool(
        torch.from_numpy(fill.smooth_image(golden.salt, name, size))
    )


@pytest.fixture(scope="module")
def text(golden):
    return lambda name: torch.from_numpy(fill.normal_input(golden.salt, name, (1, 192)))


def stand_in(image224: Tensor) -> Tensor:
    return F.avg_pool2d(image224, 28).flatten(1)


def distance(actual: Tensor, golden: np.ndarray) -> float:
    assert actual.shape == golden.shape
    return float(np.abs(actual.numpy() - golden).max() / np.sqrt(np.mean(golden**2)))


@pytest.mark.parametrize("size", [1024, 256])
def test_case_09_pooling(golden, pooled, size):
    case = golden.case("09_clip_preprocess")
    image = pooled(f"clip{size}", size)
    assert image.shape == (1, 3, 224, 224)
    windows = {"tl": (0, 0), "tr": (0, 208), "bl": (208, 0), "br": (208, 208), "c": (104, 104)}
    for name, (y, x) in windows.items():
        crop = image[0, :, y : y + 16, x : x + 16]
        assert distance(crop, case[f"pre{size}_crop_{name}"]) <= 1e-4, name
    assert distance(F.avg_pool2d(image, 8)[0], case[f"pre{size}_pool28"]) <= 1e-4


def test_case_09_losses(golden, pooled, text):
    case = golden.case("09_clip_preprocess")
    target = text("clip_text_tgt")
    loss = clip_loss(stand_in(pooled("clip1024", 1024)), target)
    assert loss.item() == pytest.approx(case["clip_loss"].item(), abs=1e-4)
    loss = directional_clip_loss(
        stand_in(pooled("clip256", 256)),
        stand_in(pooled("clip256b", 256)),
        text("clip_text_src"),
        target,
    )
    assert loss.item() == pytest.approx(case["directional_loss"].item(), abs=1e-4)


# By hand.


def test_clip_pool_keeps_the_mean():
    assert clip_pool(torch.full((1, 3, 64, 64), 0.3)).numpy() == pytest.approx(0.3)
    halves = torch.cat([torch.zeros(1, 3, 64, 32), torch.ones(1, 3, 64, 32)], dim=3)
    assert torch.equal(clip_pool(halves)[0, 0, 0], torch.arange(224).ge(112).float())


def test_clip_loss():
    # Along, against, at a right angle, and at 3-4-5; lengths don't count.
    images = rows((2.0, 0.0), (2.0, 0.0), (2.0, 0.0), (3.0, 4.0))
    texts = rows((0.5, 0.0), (-7.0, 0.0), (0.0, 1.0), (9.0, 0.0))
    np.testing.assert_allclose(clip_loss(images, texts), [0, 2, 1, 0.4], atol=1e-6)


@pytest.mark.parametrize(
    ("source_text", "target_text", "expected"),
    [
        pytest.param(X, Y, 0, id="the same way"),
        pytest.param(Y, X, 2, id="the opposite way"),
        pytest.param(tuple(map(sum, zip(X, Y, strict=True))), Z, 1, id="at a right angle"),
        pytest.param(X, Z, 0.5, id="at 60 degrees"),
    ],
)
def test_directional_clip_loss(source_text, target_text, expected):
    loss = directional_clip_loss(rows(X), 5 * rows(Y), 3 * rows(source_text), rows(target_text))
    np.testing.assert_allclose(loss, [expected], atol=1e-5)


def test_directional_clip_loss_of_each_pair():
    loss = directional_clip_loss(rows(X, X, X), rows(Y, Y, X), rows(X, Y, X), rows(Y, X, Y))
    np.testing.assert_allclose(loss, [0, 2, 1], atol=1e-5)  # the last picture went nowhere


def test_identity_loss():
    assert identity_loss(rows(X, Y), rows(X, Y)).item() == 0
    assert identity_loss(rows(X), -rows(X)).item() == 2
    assert identity_loss(rows(X, X), rows(X, (0.6, 0.8, 0.0))).item() == pytest.approx(0.2)


def test_w_norm_loss():
    # Offsets from the average: a matrix of norm 5 and one of norm 13.
    average = torch.tensor([[1.0, -1.0], [2.0, 0.5]])
    offsets = torch.tensor([[[3.0, 0.0], [0.0, 4.0]], [[0.0, 12.0], [5.0, 0.0]]])
    assert w_norm_loss(average + offsets, average).item() == pytest.approx(9)


def test_delta_loss():
    base = torch.tensor([7.0, -2.0])
    codes = torch.stack([base, base, base + torch.tensor([3.0, 4.0])])[None]
    assert delta_loss(codes).item() == pytest.approx(2.5, rel=1e-3)
    equal = codes[:, :1].repeat(1, 4, 1).requires_grad_()
    loss = delta_loss(equal)
    assert loss.item() == pytest.approx(0, abs=1e-3)
    loss.backward()  # a norm has no gradient at zero, where the heads start
    assert equal.grad.isfinite().all()


def test_r1_penalty_of_a_linear_critic():
    images = torch.randn(2, 3, 4, 4, requires_grad=True)
    slope = torch.full((3, 4, 4), 0.5, requires_grad=True)
    penalty = r1_penalty((images * slope).sum(dim=(1, 2, 3)), images)
    assert penalty.item() == pytest.approx(48 * 0.25)
    penalty.backward()
    np.testing.assert_allclose(slope.grad, 2 * slope.detach())  # d|a|^2 = 2a: the critic can learn


def test_r1_penalty_of_a_quadratic_critic():
    images = torch.stack([torch.full((3, 2, 2), 1.0), torch.full((3, 2, 2), 2.0)]).requires_grad_()
    scores = 0.5 * images.square().sum(dim=(1, 2, 3))
    assert r1_penalty(scores, images).item() == pytest.approx((12 * 1 + 12 * 4) / 2)


@pytest.fixture(scope="module")
def perceptual():
    return Perceptual()


@pytest.fixture(scope="module")
def picture():
    """Discs on a gradient, [1, 3, 64, 64]."""
    y, x = torch.meshgrid(*[torch.linspace(-1, 1, 64)] * 2, indexing="ij")
    discs = [(x - a).square() + (y - b).square() < 0.1 for a, b in ((-0.4, 0), (0.4, 0), (0, 0.5))]
    return torch.stack([x + d.float() for d in discs])[None].clamp(-1, 1)


def test_perceptual_distance_grows_with_blur(perceptual, picture):
    assert perceptual(picture, picture).item() == 0
    distances = []
    for size in (48, 32, 16, 8):
        small = F.interpolate(picture, size=size, mode="area")
        blurred = F.interpolate(small, size=64, mode="bilinear", align_corners=False)
        distances.append(perceptual(blurred, picture).item())
    assert distances == sorted(distances)
    assert distances[0] > 0.01
    assert distances[-1] > 3 * distances[0]


def test_perceptual_distance_teaches_its_first_argument_only(perceptual, picture):
    drawn, wanted = (picture + 0.1).requires_grad_(), picture.clone().requires_grad_()
    perceptual(drawn, wanted).backward()
    assert drawn.grad.abs().max() > 0
    assert wanted.grad is None
    assert not any(p.requires_grad for p in perceptual.parameters())
    assert not any(m.training for m in perceptual.layers.modules())


def test_lpips_is_torchmetrics_and_teaches_its_first_argument_only(monkeypatch, picture):
    """With random weights in the place of AlexNet's, which are fetched."""
    from torchmetrics.functional.image import learned_perceptual_image_patch_similarity
    from torchvision import models

    alexnet = models.alexnet
    torch.manual_seed(0)
    made = alexnet(weights=None)
    monkeypatch.setattr(models, "alexnet", lambda **options: made)
    net = lpips.LPIPS()
    drawn, wanted = (0.5 * picture).requires_grad_(), picture.clone().requires_grad_()
    found = net(drawn, wanted)
    expected = learned_perceptual_image_patch_similarity(drawn, wanted, net_type="alex")
    torch.testing.assert_close(found, expected)
    found.backward()
    assert drawn.grad.abs().max() > 0
    assert wanted.grad is None
    assert net(picture, picture).item() == 0
    assert isinstance(lpips.perceptual(torch.device("cpu")), lpips.LPIPS)


def test_a_stand_in_is_told(monkeypatch, caplog):
    def offline():
        raise OSError("no route")

    monkeypatch.setattr(lpips, "LPIPS", offline)
    assert isinstance(lpips.perceptual(torch.device("cpu")), Perceptual)
    assert "LPIPS can't be had (no route)" in caplog.text


def by_hand(start: Tensor, gradients: list[Tensor], rate: float) -> Tensor:
    """Ranger from its papers, in float64: gradient centralisation, RAdam's equations, Lookahead every sixth step."""
    beta1, beta2 = 0.95, 0.999
    slow = fast = start.double()
    m = v = torch.zeros_like(fast)
    longest = 2 / (1 - beta2) - 1
    for t, gradient in enumerate(gradients, 1):
        g = gradient.double()
        if g.ndim > 1:
            g = g - g.flatten(1).mean(dim=1).view(-1, *[1] * (g.ndim - 1))
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        length = longest - 2 * t * beta2**t / (1 - beta2**t)
        step = m / (1 - beta1**t)
        if length > 5:
            ratio = (length - 4) * (length - 2) * longest
            r = math.sqrt(ratio / ((longest - 4) * (longest - 2) * length))
            step = r * math.sqrt(1 - beta2**t) * step / (v.sqrt() + 1e-5)
        fast = fast - rate * step
        if t % 6 == 0:
            slow = fast = slow + 0.5 * (fast - slow)
    return fast


@pytest.mark.parametrize("shape", [(5,), (4, 6), (3, 2, 3, 3)])
def test_ranger_is_radam_with_lookahead_and_centralised_gradients(shape):
    torch.manual_seed(0)
    parameter = torch.nn.Parameter(torch.randn(shape))
    start, gradients = parameter.detach().clone(), [torch.randn(shape) for _ in range(25)]
    optimizer = ranger([parameter], 0.1)
    for count, gradient in enumerate(gradients, 1):
        parameter.grad = gradient.clone()
        optimizer.step()
        expected = by_hand(start, gradients[:count], 0.1)
        torch.testing.assert_close(parameter.double(), expected, atol=1e-4, rtol=1e-4)


def test_ranger_resumes():
    torch.manual_seed(0)
    gradients = [torch.randn(3, 4) for _ in range(20)]
    parameter = torch.nn.Parameter(torch.randn(3, 4))
    optimizer, content = ranger([parameter], 0.1), io.BytesIO()
    for step, gradient in enumerate(gradients):
        if step == 8:  # between two steps of Lookahead
            torch.save((parameter.detach(), optimizer.state_dict()), content)
        parameter.grad = gradient.clone()
        optimizer.step()
    content.seek(0)
    values, state = torch.load(content, weights_only=True)
    again = torch.nn.Parameter(values)
    optimizer = ranger([again], 0.1)
    optimizer.load_state_dict(state)
    for gradient in gradients[8:]:
        again.grad = gradient.clone()
        optimizer.step()
    assert torch.equal(again, parameter)


def test_a_quickened_and_folded_network_is_the_same_function():
    from torchvision.models import mobilenet_v2

    torch.manual_seed(0)
    net = mobilenet_v2().eval()
    net.load_state_dict(state())
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        wanted = net.features(images)
        quick = quicken(net).features(images)
        folded = fold(net).features(images)
    assert torch.equal(quick, wanted)
    torch.testing.assert_close(folded, wanted, rtol=1e-3, atol=1e-3)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in net.features.modules())
    strided = [m for m in net.modules() if isinstance(m, Float32Conv2d)]
    assert len(strided) == 4
    with torch.autocast("cpu", torch.bfloat16):
        x = torch.randn(1, strided[0].in_channels, 8, 8).bfloat16().requires_grad_()
        strided[0](x).float().sum().backward()
    assert x.grad.dtype == torch.bfloat16


def test_the_published_weights():
    """Stage one and two of the authors' code; its second stage does not add the w-norm, and adds 0.35 times L2 and
    LPIPS to the picture before remapping (coach_second_stage.py)."""
    paper = {"cycle": 1.0, "counterfactual": 0.0}
    assert (
        LossWeights(identity=0.1, l2=1.0, lpips=0.6, clip=1.0, w_norm=0.005, **paper) == STAGE_ONE
    )
    assert (
        LossWeights(
            identity=0.15, l2=0.15, lpips=0.15, clip=1.75, w_norm=0.0, unremapped=0.35, **paper
        )
        == STAGE_TWO
    )


def test_label_loss(monkeypatch):
    """Two hair colours exclude each other, a hat is there or not."""
    monkeypatch.setattr(clip_stage, "groups", lambda: [[0, 1], [2]])
    text = torch.eye(4)[:, :4]  # red hair, gray hair, a hat, nothing
    image = F.normalize(rows((1.0, 0.0, 1.0, 0.0), (0.0, 1.0, 0.0, 1.0), (0.0, 0.0, 0.0, 1.0)))
    shown = torch.tensor([[True, False, True], [False, True, False], [False, False, False]])
    cosine = math.sqrt(0.5)
    hair = math.log(1 + math.exp(-cosine))  # the bald third image is left out
    hat = (2 * math.log(1 + math.exp(-cosine)) + math.log(1 + math.exp(-1))) / 3
    loss = label_loss(image, text, shown, 1.0)
    assert loss.item() == pytest.approx((hair + hat) / 2, rel=1e-5)
    assert label_loss(image, text, ~shown, 1.0) > loss


def test_groups_of_attributes_exclude_each_other():
    members = clip_stage.groups()
    assert sorted(i for group in members for i in group) == list(range(len(data.NAMES)))
    for seed in range(100):
        shown = Scene.from_seed(seed).attributes
        assert all(sum(data.NAMES[i] in shown for i in group) <= 1 for group in members)


def test_captions_belong_where_the_anchors_of_what_they_say_add_up_to():
    width = 80
    anchors = clip_stage.anchors(width)
    np.testing.assert_allclose(anchors @ anchors.t(), np.eye(len(data.NAMES)), atol=1e-5)
    places = clip_stage.meaning([["smiling"], ["hat", "smiling"]], width)
    smiling = anchors[data.NAMES.index("smiling")]
    np.testing.assert_allclose(places @ smiling, [1, math.sqrt(0.5)], atol=1e-5)
