"""Hair: `groom(scene, head) -> list[Strands]`: scalp hair, buns, bangs and beards.

Strands are simulated in canonical coordinates (see head.py): they start at fixed random roots, are combed, fall and
slide over the mean head, then follow the person's head by a per-axis fit plus their root's own displacement. The random
numbers are fixed, so a picture is a smooth function of its scene.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clipinverter.portraits.head import Head, template
from clipinverter.portraits.regions import (
    CENTRE,
    Roots,
    above_head,
    facial,
    push_out,
    roots_of,
    scalp,
    to_head,
)
from clipinverter.portraits.scene import Scene

COLOURS = {
    "black": (0.014, 0.012, 0.011), "brown": (0.075, 0.036, 0.016), "blond": (0.50, 0.335, 0.13),
    "red": (0.34, 0.075, 0.018), "gray": (0.30, 0.30, 0.31), "white": (0.74, 0.73, 0.71),
    "blue": (0.025, 0.085, 0.42), "pink": (0.68, 0.12, 0.31), "green": (0.035, 0.27, 0.07),
    "purple": (0.20, 0.035, 0.34),
}  # fmt: skip
"""Linear RGB of the hair colours."""


@dataclass(frozen=True, eq=False)
class Strands:
    """points: [n, k, 3] metres; width: [n] metres; colour: [n, 3] linear RGB; shade: [n] 0..1 occlusion."""

    points: np.ndarray
    width: np.ndarray
    colour: np.ndarray
    shade: np.ndarray


def groom(scene: Scene, head: Head) -> list[Strands]:
    """All strands of a scene."""
    out = []
    colour = np.array(COLOURS[scene.label("hair_colour")], np.float32)
    if scene.label("hair_style") != "bald":
        out += _scalp_hair(scene, head, colour)
    if scene.label("facial_hair") in ("moustache", "goatee", "beard"):
        out.append(_facial_hair(scene, head, colour * 0.8))
    return out


def _finish(
    p: np.ndarray, roots: Roots, head: Head, width: np.ndarray | float, colour, shade, spread=0.22
) -> Strands:
    moved = roots.on(head.vertices) - to_head(roots.q, head)
    points = to_head(p, head) + moved[:, None]
    tint = 1 + spread * 2 * (roots.random[:, 3:4] - 0.5)
    d = template().eye_distance
    return Strands(
        points.astype(np.float32),
        np.broadcast_to(np.float32(width * d), (len(p),)),
        (colour * tint).astype(np.float32),
        shade.astype(np.float32),
    )


def _scalp_hair(scene: Scene, head: Head, colour: np.ndarray) -> list[Strands]:
    style, texture = scene.label("hair_style"), scene.label("hair_texture")
    if scene.label("hat") and style == "bun":
        style = "short"
    receding = 1.0 if scene.label("receding hairline") else 0.0
    all_roots = roots_of("scalp")
    field = scalp(all_roots.q, receding, scene.is_woman)
    hanging = style in ("long", "bob")
    sparse = (not hanging) | (np.arange(len(field)) % 5 < 3)
    if hanging:  # sideburns don't grow long
        sparse &= (all_roots.q[:, 2] > 0.3) | (all_roots.q[:, 1] > 1.2)
    roots = all_roots.take(sparse & (field + 0.1 * (all_roots.random[:, 4] - 0.5) > 0.0))
    detail = np.tanh(scene.values["hair_detail"] / 1.5).astype(np.float32)
    volume = 1 + 0.35 * detail[1] + {"straight": 0.0, "wavy": 0.35, "curly": 1.2}[texture]
    r, q = roots.random, roots.q
    front = np.clip((1.0 - q[:, 1]) / 1.2, 0, 1) * np.clip((q[:, 2] - 0.5) / 0.4, 0, 1)
    part = 0.5 * np.tanh(2.5 * detail[0]) if texture != "curly" else 0.0
    side = np.tanh((q[:, 0] - part * np.clip(q[:, 2], 0, 1.2)) / 0.08)
    layer = (0.03 + 0.10 * volume * r[:, 0]).astype(np.float32)

    steps, gravity, cut, target = 11, 0.5, -9.0, None
    if style == "bun":
        target = np.array([0.55 * np.tanh(2.5 * detail[0]), 0.85, 1.62], np.float32)
        comb, length, lift, gravity = (
            target - q,
            np.linalg.norm(target - q, axis=1) * 1.08,
            0.12,
            0.0,
        )
        layer = (0.02 + 0.05 * r[:, 0] * volume).astype(np.float32)
    elif style in ("long", "bob"):
        high = np.clip((q[:, 2] - 0.4) / 0.9, 0, 1)
        comb = np.stack(
            [side * (0.25 + 0.65 * high), 0.3 + 0.25 * front, 0.1 - 1.1 * (1 - high)], 1
        )
        length = np.full(len(q), 2.9 if style == "bob" else 3.9) * (0.94 + 0.12 * r[:, 1])
        steps, gravity = (13 if texture == "curly" else 10), 0.9
        lift, cut = (
            0.18 + 0.2 * (texture == "curly"),
            -2.75 if style == "long" else -1.55 + 0.25 * detail[3],
        )
        layer *= 1.5
    else:
        steps = 7
        sweep = np.tanh(2.5 * detail[2])
        top = np.clip((q[:, 2] - 0.35) / 0.7, 0, 1)
        comb = np.stack(
            [
                0.75 * side * (1 - top) + sweep * 0.75 * top,
                0.5 - 0.55 * top * detail[3],
                0.2 - 0.5 * (1 - top),
            ],
            1,
        )
        length = (0.13 + (0.30 + 0.1 * detail[1]) * top) * (0.75 + 0.5 * r[:, 1])
        length *= 1.25 if scene.is_woman else 1.0
        length *= np.interp(q[:, 2], (-1.2, -0.2, 0.3), (0.55, 0.75, 1.0))
        lift, gravity = (
            0.10
            + 0.12 * np.clip(q[:, 2] + 0.3, 0, 1)
            + (0.16 + 0.2 * detail[1] + 0.14 * (texture == "wavy")) * top
            + 0.9 * (texture == "curly"),
            0.12,
        )
    if texture == "curly" and style == "short":
        length *= 1.35
    strands = _simulate(roots, comb, lift, length, gravity, layer, steps, cut, target)
    strands = _texture(strands, roots, texture, length)
    depth = 0.45 + 0.55 * r[:, 0]
    width = {"short": 0.030, "bun": 0.034}.get(style, 0.058) * (0.7 + 0.6 * r[:, 5])
    hat = bool(scene.label("hat"))
    out = [strands if not hat else _under_hat(strands)]
    result = [_finish(out[0], roots, head, width, colour, depth)]
    if style == "bun" and not hat:
        result.append(_bun(target, roots, head, colour, volume))
    if scene.label("bangs") and not hat:
        result.append(_bangs(head, colour, texture, detail, receding, scene.is_woman))
    return result


def _simulate(roots, comb, lift, length, gravity, layer, steps, cut, target=None) -> np.ndarray:
    """Strands [n, steps + 1, 3] that are combed along the skin, fall, and slide over the head, never over the face."""
    n, r = roots.normal, roots.random
    tangent = comb - (comb * n).sum(1, keepdims=True) * n
    lift = np.broadcast_to(lift, (len(n),))[:, None]
    d = _unit(_unit(tangent) + lift * n + 0.16 * (r[:, :3] - 0.5)).astype(np.float32)
    p = roots.q.astype(np.float32)
    step = (length / steps).astype(np.float32)[:, None]
    points = [p]
    for k in range(steps):
        if target is not None:
            d = _unit(d + 1.2 * _unit(target - p))
        else:
            d = _unit(d - np.array([0, 0, gravity * min(1.0, (k + 1) / 3)], np.float32))
        new = p + d * step
        # Hanging hair gathers towards the neck.
        low = np.clip(-0.6 - new[:, 2], 0, 1)
        new[:, 0] -= (
            0.10 * low * np.sign(new[:, 0]) * np.maximum(np.abs(new[:, 0]) - 1.25 - 2.5 * layer, 0)
        )
        neck = (new[:, 2] < -1.1) & (new[:, 1] < 1.4)
        new[:, 0] = np.where(
            neck, np.sign(new[:, 0]) * np.maximum(np.abs(new[:, 0]), 1.02 + layer), new[:, 0]
        )
        # Behind a curtain in front of the ears: hair frames the face.
        limit = np.interp(
            new[:, 2], (-3.0, -1.0, -0.4, 0.3, 0.85, 1.1), (1.5, 1.5, 1.4, 0.85, 0.35, -1.5)
        ).astype(np.float32)
        outside = np.clip(np.abs(new[:, 0]) - 1.15, 0, 0.6) * np.clip(0.5 - new[:, 2], 0, 1)
        limit = limit - 1.2 * outside
        new[:, 1] = np.maximum(new[:, 1], limit + 0.15 * (r[:, 2] - 0.5))
        new = push_out(new, layer * min(1.0, (k + 1) / 3))
        stop = new[:, 2:3] < cut + 0.16 * (r[:, 4:5] - 0.5)
        new = np.where(stop, p + (new - p) * 0.05, new)
        d = _unit(0.2 * d + 0.8 * _unit(new - p))
        points.append(new)
        p = new
    return np.stack(points, 1)


def _texture(
    p: np.ndarray, roots: Roots, texture: str, length: np.ndarray, amount: float = 1.0
) -> np.ndarray:
    """Waves or curls, in phase within a clump; clumps gather towards their leader."""
    r = roots.random
    k = np.linspace(0, 1, p.shape[1], dtype=np.float32)[None, :]
    gather = {"straight": 0.3, "wavy": 0.5, "curly": 0.5}[texture]
    p = p + (gather * k * (0.4 + 0.6 * r[:, 5:6]))[..., None] * (p[roots.clump] - p)
    if texture == "straight":
        return p
    s = k * length[:, None]
    phase = 6.28 * r[roots.clump, 1][:, None] + 0.9 * (r[:, 2:3] - 0.5)
    out = _unit(p - CENTRE)
    along = _unit(np.gradient(p, axis=1))
    lateral = _unit(np.cross(along, out))
    if texture == "wavy":
        amount = amount * 0.11 * np.clip(s / 0.5, 0, 1)
        wave = np.sin(5.2 * s + 0.5 * phase)
        return (
            p
            + (amount * wave)[..., None] * lateral
            + (0.5 * amount * (1 + np.cos(5.2 * s + phase)))[..., None] * out
        )
    amount = amount * 0.15 * np.clip(s / 0.25, 0, 1)
    turn = 13.0 * s + phase
    p = p + (amount * np.sin(turn))[..., None] * lateral
    return p + (amount * (1 + np.cos(turn)))[..., None] * out


def _under_hat(p: np.ndarray) -> np.ndarray:
    """Strands pressed to the head above the hat's brim."""
    v = p - CENTRE
    r = np.linalg.norm(v, axis=-1)
    flat = above_head(v) - 0.02
    pressed = CENTRE + v * (np.minimum(r, flat) / r)[..., None]
    above = p[..., 2] > 0.75 - 0.65 * np.clip((p[..., 1] + 0.3) / 3.0, 0, 1)
    return np.where(above[..., None], pressed, p)


def _bun(centre, roots: Roots, head: Head, colour, volume: float) -> Strands:
    keep = roots.take(np.arange(0, len(roots.q), 6)[:620])
    r = keep.random
    axis = _unit(r[:, :3] - 0.5)
    a = _unit(np.cross(axis, np.roll(axis, 1, 1)))
    b = np.cross(axis, a)
    turn = np.linspace(0, 2.4, 9)[None, :] + 6.28 * r[:, 3:4]
    radius = 0.5 * (0.8 + 0.2 * volume) * (0.86 + 0.14 * r[:, 5:6])
    circle = np.cos(turn)[..., None] * a[:, None] + np.sin(turn)[..., None] * b[:, None]
    p = centre + np.array([1, 0.9, 0.85]) * circle * radius[..., None]
    d = template().eye_distance
    return Strands(
        to_head(p, head), np.full(len(p), 0.04 * d, np.float32),
        (colour * (0.8 + 0.4 * r[:, 4:5])).astype(np.float32), (0.5 + 0.5 * r[:, 5]).astype(np.float32),
    )  # fmt: skip


def _bangs(head: Head, colour, texture, detail, receding, woman) -> Strands:
    """A fringe: from the front of the scalp over the forehead, to just above the brows."""
    roots = roots_of("bangs").take(scalp(roots_of("bangs").q, receding, woman) > 0)
    q, r = roots.q, roots.random
    end = 0.40 + 0.10 * detail[3] + 0.1 * (r[:, 0] - 0.5)
    side = 0.28 * detail[2]
    steps = np.linspace(0, 1, 9, dtype=np.float32)
    goal = np.stack([q[:, 0] * 0.99 + side * (0.6 + 0.6 * r[:, 1]), np.full(len(q), -0.3), end], 1)
    middle = np.stack(
        [q[:, 0] * 1.05 + side * 0.3, np.minimum(q[:, 1] - 0.35, -0.1), np.maximum(q[:, 2], 1.0)], 1
    )
    w = steps[None, :, None]
    p = (1 - w) ** 2 * q[:, None] + 2 * w * (1 - w) * middle[:, None] + w**2 * goal[:, None]
    layer = np.repeat(0.05 + 0.12 * r[:, 2] * (1.6 if texture == "curly" else 1), 9).astype(
        np.float32
    )
    flat = p.reshape(-1, 3).astype(np.float32)
    v = flat - CENTRE
    p = CENTRE + v * ((above_head(v) + layer) / np.linalg.norm(v, axis=1))[:, None]
    p = p.reshape(len(q), 9, 3)
    p = _texture(p, roots, texture, np.full(len(q), 0.6, np.float32), 0.5)
    return _finish(
        p.astype(np.float32), roots, head, 0.06 * (0.7 + 0.6 * r[:, 5]), colour, 0.6 + 0.4 * r[:, 2]
    )


def _facial_hair(scene: Scene, head: Head, colour) -> Strands:
    kind = scene.label("facial_hair")
    all_roots = roots_of("face")
    lips = template().lips
    on_lips = np.einsum("nk,nk->n", all_roots.weights, lips[all_roots.vertices])
    mask = facial(all_roots.q, kind) * (on_lips < 0.12)
    roots = all_roots.take(mask > 0.1 + 0.8 * all_roots.random[:, 4])
    q, n, r = roots.q, roots.normal, roots.random
    upper = (q[:, 2] > -1.12) & (np.abs(q[:, 0]) < 0.5) & (q[:, 1] < 0.2)
    comb = np.where(upper[:, None], np.stack([np.tanh(q[:, 0] / 0.1), 0 * q[:, 0], -0.45 + 0 * q[:, 0]], 1),
                    np.array([0.0, -0.05, -1.0]))  # fmt: skip
    length = np.where(upper, 0.13, 0.2 if kind == "beard" else 0.19) * (0.6 + 0.8 * r[:, 1])
    length *= np.where(~upper & (q[:, 2] > -1.0), 0.55, 1.0)
    d = _unit(
        _unit(comb - (comb * n).sum(1, keepdims=True) * n)
        + np.where(upper, 0.22, 0.5)[:, None] * n
        + 0.5 * (r[:, :3] - 0.5)
    )
    k = np.linspace(0, 1, 4, dtype=np.float32)[None, :, None]
    p = q[:, None] + d[:, None] * (length[:, None, None] * k)
    p = p - np.array([0, 0, 0.05], np.float32) * k**2
    return _finish(p, roots, head, 0.017, colour, 0.55 + 0.45 * r[:, 2], spread=0.35)


def _unit(v: np.ndarray) -> np.ndarray:
    return v * (1.0 / np.sqrt(np.einsum("...d,...d->...", v, v) + 1e-12))[..., None].astype(v.dtype)
