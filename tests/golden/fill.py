"""Deterministic weights and inputs behind the golden vectors in this folder.

The vectors (`*.npz`) are outputs of the published CLIPInverter and StyleCLIP code, computed on a
CPU in float32 with pseudo-random weights instead of trained ones. Whoever fills their own networks
by the rule below, under the key names of `keys.json`, must get the same outputs; a network that
does would also load the official checkpoints and compute what the authors' code computes.

The rule: every tensor starts as standard normal numbers from a generator that is seeded with the
CRC-32 of the tensor's name (`"<salt>/<checkpoint>/<key>"`, for an input `"<salt>/input:<name>"`),
and is then brought to a sensible scale by its role, which `_ROLES` recognises by the key.
"""

import math
import re
import zlib
from collections.abc import Callable, Iterable

import numpy as np


def standard_normal(name: str, shape: Iterable[int]) -> np.ndarray:
    """Float32 standard normal numbers that depend on nothing but `name` and `shape`."""
    shape = tuple(shape)
    rng = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))
    return np.asarray(rng.standard_normal(shape, dtype=np.float32)).reshape(shape)


def _affine(offset: float, scale: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda x: np.float32(offset) + np.float32(scale) * x


def _blur_kernel(x: np.ndarray) -> np.ndarray:
    taps = np.array([1, 3, 3, 1], dtype=np.float32)
    kernel = np.outer(taps, taps) / np.float32(16)
    assert kernel.shape == x.shape, f"a blur kernel is 4x4, not {x.shape}"
    return kernel


def _by_fan_in(x: np.ndarray) -> np.ndarray:
    return x * np.float32(1 / math.sqrt(math.prod(x.shape[1:])))


# The first pattern found in the key decides.
_ROLES = [
    (re.compile(pattern), value)
    for pattern, value in [
        (r"(^|\.)(blur|upsample)\.kernel$", _blur_kernel),
        (r"\.num_batches_tracked$", lambda x: np.zeros(x.shape, np.int64)),
        (r"\.running_var$", lambda x: _affine(1, 0.1)(np.abs(x))),
        (r"\.running_mean$", _affine(0, 0.1)),
        (r"(^|\.)noises\.noise_\d+$", _affine(0, 1)),
        (r"\.noise\.weight$", _affine(0, 0.1)),
        # Trained lambdas start at 0.05; they are larger here so that a mistake shows.
        (r"(^|\.)lambdas\.\d+$", _affine(0.3, 0.1)),
        (r"^latent_avg$", _affine(0, 1)),
        (r"\.modulation\.bias$", _affine(1, 0.1)),
        # Mapping layers have a learning-rate multiplier of 0.01 inside.
        (r"((^|\.)style\.\d+|^mapper\..*mapping\.\d+)\.weight$", _affine(0, 100)),
        (r"((^|\.)style\.\d+|^mapper\..*mapping\.\d+)\.bias$", _affine(0, 10)),
        # Equalised layers divide by the root of their fan-in themselves.
        (
            r"((^|\.)input\.input|\.modulation\.weight"
            r"|(^|\.)(conv1|convs\.\d+|to_rgb1|to_rgbs\.\d+)\.conv\.weight"
            r"|\.styles\.\d+\.linear\.weight)$",
            _affine(0, 1),
        ),
        (r"\.bias$", _affine(0, 0.1)),
        # PReLU slopes, then the scales of the normalisation layers.
        (r"(^|\.)(input_layer\.2|body\.\d+\.res_layer\.2)\.weight$", _affine(0.25, 0.02)),
        (
            r"((^|\.)input_layer\.1|\.res_layer\.(0|4)|\.shortcut_layer\.1"
            r"|(^|\.)output_layer\.(0|4)|\.norm|\.(gamma|beta)_function\.1"
            r"|(^|\.)affine_mlps\.\d+\.3)\.weight$",
            _affine(1, 0.1),
        ),
        (r"\.weight$", _by_fan_in),
    ]
]


def fill(salt: str, checkpoint: str, key: str, shape: Iterable[int]) -> np.ndarray:
    """The value of one checkpoint entry: float32, or int64 for counters."""
    x = standard_normal(f"{salt}/{checkpoint}/{key}", shape)
    for pattern, value in _ROLES:
        if pattern.search(key):
            filled = np.asarray(value(x))
            return filled if filled.dtype == np.int64 else filled.astype(np.float32, copy=False)
    raise KeyError(f"the fill rule has no role for {key}")


def normal_input(salt: str, name: str, shape: Iterable[int]) -> np.ndarray:
    """A latent or text input: standard normal."""
    return standard_normal(f"{salt}/input:{name}", shape)


def image_input(salt: str, name: str, shape: Iterable[int]) -> np.ndarray:
    """A noise image in (-1, 1)."""
    return np.tanh(normal_input(salt, name, shape))


def smooth_image(salt: str, name: str, size: int) -> np.ndarray:
    """An image [1, 3, size, size] in (-1, 1) of 16x16 flat tiles with half as much pixel noise."""
    tiles = normal_input(salt, f"{name}_lo", (1, 3, 16, 16))
    pixels = normal_input(salt, f"{name}_hi", (1, 3, size, size))
    enlarged = tiles.repeat(size // 16, axis=2).repeat(size // 16, axis=3)
    return np.tanh(enlarged + np.float32(0.5) * pixels)


def synthetic_photo(width: int, height: int, phase: float) -> np.ndarray:
    """A stand-in photo, uint8 [height, width, 3]: a smooth gradient per channel and six discs."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    u, v = x / width, y / height
    photo = np.stack(
        [
            127.5 + 80.0 * np.sin(2.0 * np.pi * (1.5 * u + 0.5 * v) + phase),
            127.5 + 80.0 * np.cos(2.0 * np.pi * (0.5 * u - 1.0 * v) + 2.0 * phase),
            40.0 + 170.0 * (0.5 * u + 0.5 * v),
        ],
        axis=-1,
    )
    for k in range(6):
        centre_x = width * (0.5 + 0.32 * math.cos(phase + k))
        centre_y = height * (0.5 + 0.32 * math.sin(2.0 * phase + 1.3 * k))
        radius = min(width, height) * (0.05 + 0.02 * k)
        disc = (x - centre_x) ** 2 + (y - centre_y) ** 2 < radius * radius
        photo[disc] += np.array([60.0, -50.0, 40.0]) * (-1.0) ** k
    return np.floor(np.clip(photo, 0.0, 255.0)).astype(np.uint8)


def synthetic_landmarks(cx: float, cy: float, scale: float, degrees: float) -> np.ndarray:
    """68 landmarks in the usual order, int64 [68, 2]: a template turned, scaled, moved, rounded."""

    def ellipse(x: float, y: float, rx: float, ry: float, count: int) -> list[tuple[float, float]]:
        """Clockwise on the screen, from the left end."""
        angles = [math.pi - 2.0 * math.pi * i / count for i in range(count)]
        return [(x + rx * math.cos(t), y - ry * math.sin(t)) for t in angles]

    def brow(left: float) -> list[tuple[float, float]]:
        return [(left + 0.14 * i, -0.45 - 0.06 * math.sin(math.pi * i / 4.0)) for i in range(5)]

    jaw_angles = [math.pi * (1.0 - i / 16.0) for i in range(17)]
    template = [
        *((math.cos(t), 0.10 + 1.05 * math.sin(t)) for t in jaw_angles),
        *brow(-0.75),
        *brow(0.19),
        *((0.0, -0.25 + 0.15 * i) for i in range(4)),
        *((-0.16 + 0.08 * i, 0.30 + 0.03 * math.sin(math.pi * i / 4.0)) for i in range(5)),
        *ellipse(-0.42, -0.22, 0.16, 0.06, 6),
        *ellipse(0.42, -0.22, 0.16, 0.06, 6),
        *ellipse(0.0, 0.58, 0.36, 0.16, 12),
        *ellipse(0.0, 0.58, 0.26, 0.08, 8),
    ]
    angle = math.radians(degrees)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    points = np.array(template, dtype=np.float64) * scale
    return np.rint(points @ turn.T + np.array([cx, cy])).astype(np.int64)
