"""Clothes, glasses, hats, earrings and teeth as small parametric surfaces."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr

from clipinverter.portraits.colours import clothes_colour, hat_colour
from clipinverter.portraits.head import Head, template
from clipinverter.portraits.regions import CENTRE, above_head, to_head
from clipinverter.portraits.scene import Scene
from clipinverter.portraits.surfaces import Part, surface, tube


def parts(scene: Scene, head: Head) -> list[Part]:
    """Everything but head and hair."""
    out = clothes(scene, head)
    if scene.label("mouth open") or scene.label("expression") == "surprised":
        out += teeth(head)
    if scene.label("glasses") != "none":
        out += glasses(scene, head)
    if scene.label("hat"):
        out += hat(scene, head)
    if scene.label("earrings"):
        out += earrings(scene, head)
    return out


def _ring(rows: list[tuple], columns: int = 40) -> np.ndarray:
    """Grid [len(rows), columns, 3] of ellipses (x radius, y radius, y centre, z side, z front), canonical."""
    t = np.linspace(0, 2 * np.pi, columns)
    x, y = np.sin(t), -np.cos(t)  # starts in front
    grid = []
    for rx, ry, cy, z_side, z_front in rows:
        z = z_side + (z_front - z_side) * np.clip(-y, 0, 1) ** 2
        grid.append(np.stack([rx * x, cy + ry * y, z], 1))
    return np.stack(grid)


def clothes(scene: Scene, head: Head) -> list[Part]:
    colour, kind = clothes_colour(scene), scene.label("clothes")
    neck = 1.0 + 0.25 * (scene.values["weight"] - 0.4) + (0.06 if not scene.is_woman else 0)
    w = neck * 0.95
    body = [(w * 1.18, 0.95, 1.35, -2.05, -2.75), (w * 1.32, 1.05, 1.4, -2.1, -2.85), (1.9, 1.25, 1.45, -2.3, -3.0),
            (2.7, 1.4, 1.5, -2.6, -3.2), (3.4, 1.5, 1.5, -3.1, -3.6), (3.7, 1.55, 1.5, -5.0, -5.0)]  # fmt: skip
    skin_below = [
        (w * 0.86, 0.72, 1.2, -1.8, -2.0),
        (w * 0.95, 0.8, 1.25, -2.1, -2.4),
        (1.7, 1.1, 1.4, -2.4, -3.1),
    ]
    out = [surface(to_head(_ring(body), head), colour)]
    out.append(
        surface(to_head(_ring(skin_below), head), (-1.0, -1.0, -1.0))
    )  # the neck's base, in skin colour
    if kind == "turtleneck":
        roll = [
            (w * 0.98, 0.86, 1.18, -1.62, -1.98),
            (w * 1.1, 0.98, 1.2, -1.66, -2.02),
            (w * 1.13, 1.0, 1.22, -1.85, -2.2),
            (w * 1.14, 1.0, 1.25, -2.05, -2.4),
            (w * 1.25, 1.1, 1.35, -2.3, -2.8),
        ]
        out.append(surface(to_head(_ring(roll), head), tuple(0.92 * c for c in colour)))
    elif kind == "shirt":
        for s in (-1, 1):  # two stiff wings that open in front
            t = np.linspace(0.10, 1.0, 14) * np.pi * s
            x, y = np.sin(t), -np.cos(t)
            front = np.clip(-y, 0, 1) ** 2
            upper = np.stack([w * 1.1 * x, 1.3 + 0.92 * y, -1.7 - 0.55 * front], 1)
            fold = np.stack([w * 1.3 * x, 1.3 + 1.1 * y, -1.78 - 0.6 * front], 1)
            lower = np.stack(
                [
                    w * 1.62 * x + 0.16 * s * front,
                    1.3 + 1.3 * y,
                    -2.15 - 0.62 * front - 0.25 * front**4,
                ],
                1,
            )
            out.append(
                surface(
                    to_head(np.stack([upper, fold, lower]), head),
                    tuple(min(1.0, 1.18 * c + 0.03) for c in colour),
                )
            )
    else:
        t = np.linspace(0, 2 * np.pi, 40)
        y = -np.cos(t)
        z = -2.03 - 0.72 * np.clip(-y, 0, 1) ** 2
        path = np.stack([w * 1.2 * np.sin(t), 1.35 + 0.97 * y, z], 1)
        out.append(
            tube(
                to_head(path, head),
                0.07 * template().eye_distance,
                tuple(0.8 * c for c in colour),
                0.0,
            )
        )
    return out


def teeth(head: Head) -> list[Part]:
    """Both rows, behind the lips; the lower one follows the jaw."""
    d = template().eye_distance
    middle = (head.mouth[0] + head.mouth[1]) / 2
    lips = template().lips > 0.5
    q = template().q
    lower = lips & (q[:, 2] < -1.18)
    jaw = (head.vertices[lower] - head.neutral[lower]).mean(0) / d
    neutral_corners = head.neutral[template().corners].mean(0)
    front = head.neutral[lips][:, 1].min()
    out = []
    x = np.linspace(-1, 1, 25)
    width = (
        np.linalg.norm(head.neutral[template().corners][1] - head.neutral[template().corners][0])
        / d
    )
    for top, bottom, shift in (
        (0.1, -0.075, np.zeros(3)),
        (-0.08, -0.2, np.array([0, 0.03 + max(jaw[1], 0), min(jaw[2], 0) * 0.85])),
    ):
        rows = []
        for z in np.linspace(top, bottom, 4):
            p = (
                np.stack([0.5 * width * 0.98 * x, (0.30 * x**2) * 0.9, np.full_like(x, z)], 1)
                + shift
            )
            rows.append(np.array([middle[0], front + 0.2 * d, neutral_corners[2]]) + d * p)
        out.append(surface(np.stack(rows), (0.72, 0.66, 0.56), 0.5))
    return out


def glasses(scene: Scene, head: Head) -> list[Part]:
    d = template().eye_distance
    shape, tone = (float(ndtr(x)) for x in scene.values["glasses_detail"])
    dark = scene.label("glasses") == "sunglasses"
    # From black through tortoiseshell to metal.
    stops = ((0.012, 0.012, 0.014), (0.012, 0.012, 0.014), (0.09, 0.03, 0.012), (0.36, 0.34, 0.31))
    at = 0.0 if dark else tone
    frame = tuple(float(np.interp(at, (0, 0.45, 0.75, 1), c)) for c in zip(*stops, strict=True))
    thickness = (0.014 + 0.020 * (1 - tone)) * d
    centre = head.eye_centres.mean(0)
    bridge_y = head.neutral[
        (np.abs(template().q[:, 0]) < 0.1) & (np.abs(template().q[:, 2] + 0.1) < 0.25)
    ][:, 1].min()
    plane = min(bridge_y - 0.03 * d, head.eye_centres[:, 1].min() - 0.26 * d)
    out, ends = [], []
    power = 2.0 + 2.6 * shape  # from round to nearly rectangular
    rx, rz = (0.44 if dark else 0.41) * d, (0.40 - 0.1 * shape if dark else 0.37 - 0.11 * shape) * d
    for eye, s in zip(head.eye_centres, (-1, 1), strict=True):
        t = np.linspace(0, 2 * np.pi, 37)
        c, sn = np.cos(t), np.sin(t)
        x = np.sign(c) * np.abs(c) ** (2 / power)
        z = np.sign(sn) * np.abs(sn) ** (2 / power)
        x_, z_ = rx * x, rz * z - 0.05 * d
        bow = 0.10 * (eye[0] + 0.03 * d * s + x_ - centre[0]) ** 2 / d * 1.0
        rim = np.stack([eye[0] + 0.03 * d * s + x_, plane + bow, eye[2] + z_], 1)
        out.append(tube(rim, thickness, frame, 0.7))
        out.append(_lens(rim, dark))
        ends.append(rim[np.argmax(s * rim[:, 0])] + np.array([0, 0, 0.1 * d]))
    inner = [
        head.eye_centres[0] + np.array([rx - 0.03 * d, 0, 0.04 * d]),
        head.eye_centres[1] + np.array([-rx + 0.03 * d, 0, 0.04 * d]),
    ]
    t = np.linspace(0, 1, 9)[:, None]
    bridge = inner[0] * (1 - t) + inner[1] * t + np.array([0, 0, 0.07 * d]) * 4 * t * (1 - t)
    bridge[:, 1] = plane - 0.01 * d
    out.append(tube(bridge, thickness, frame, 0.7))
    for end, s in zip(ends, (-1, 1), strict=True):
        ear = to_head(np.array([s * 1.22, 1.35, 0.1]), head)
        temple = end * (1 - t) + ear * t + np.array([s * 0.05 * d, 0, 0]) * np.sin(np.pi * t)
        out.append(tube(temple, thickness * 0.9, frame, 0.5))
    return out


def _lens(rim: np.ndarray, dark: bool) -> Part:
    """A bulging lens inside a rim [n, 3]; its curvature keeps the lights' reflections small."""
    hub = rim.mean(0, keepdims=True) + 0 * rim
    flat = surface(
        np.stack([hub, rim]),
        (0.01, 0.011, 0.013) if dark else (0.5, 0.55, 0.57),
        0.3,
        0.94 if dark else 0.05,
    )
    out = (flat.vertices - hub[0]) / (np.abs(rim - hub).max() + 1e-9)
    normals = np.array([0, -1.0, 0.1]) + 0.6 * out * [1, 0, 1]
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    return Part(
        flat.vertices,
        normals.astype(np.float32),
        flat.triangles,
        flat.colour,
        flat.gloss,
        flat.alpha,
    )


def hat(scene: Scene, head: Head) -> list[Part]:
    """A knitted hat with a folded brim, over the scalp above the brows."""
    colour = hat_colour(scene)
    azimuth = np.linspace(-np.pi, np.pi, 65)
    bottom = (
        0.62 + 0.0 * azimuth - 0.25 * (0.5 + 0.5 * np.cos(azimuth)) - 0.1 * np.abs(np.sin(azimuth))
    )
    rows = []
    for k in np.linspace(0, 1, 22):
        # The direction from the hat's bottom line up to the crown; azimuth 0 is the back of the head.
        elevation = np.arctan2(bottom - CENTRE[2], 1.25) * (1 - k) + np.pi / 2 * k
        d = np.stack(
            [
                np.sin(azimuth) * np.cos(elevation),
                np.cos(azimuth) * np.cos(elevation),
                np.sin(elevation),
            ],
            1,
        )
        r = above_head(d)
        thick = 0.2 if k < 0.22 else 0.13
        rows.append(CENTRE + d * (r + thick * min(1.0, 0.35 + 6 * k))[:, None])
    dome = np.stack(rows)
    crown = surface(to_head(dome[4:], head), colour)
    brim = surface(
        to_head(dome[:6] + 0.02 * (dome[:6] - CENTRE), head), tuple(0.75 * x for x in colour)
    )
    return [crown, brim]


def earrings(scene: Scene, head: Head) -> list[Part]:
    d = template().eye_distance
    silver = float(ndtr(scene.values["glasses_detail"][1]))
    gold = tuple(
        (1 - silver) * np.array([0.85, 0.52, 0.12]) + silver * np.array([0.75, 0.75, 0.78])
    )
    out = []
    q = template().q
    for s in (-1, 1):
        lobe_zone = (
            (q[:, 0] * s > 1.08)
            & (q[:, 2] < -0.6)
            & (q[:, 2] > -0.95)
            & (q[:, 1] > 0.9)
            & (q[:, 1] < 1.7)
        )
        ids = np.where(lobe_zone)[0]
        lobe = (
            head.vertices[ids[np.argmin(head.vertices[ids, 2])]]
            + np.array([s * 0.03, -0.06, 0.0]) * d
        )
        t = np.linspace(0, 2 * np.pi, 25)
        hoop = lobe + d * np.stack(
            [s * 0.05 + 0.11 * np.sin(t), -0.02 + 0.1 * np.sin(t) * 0.6, -0.17 + 0.17 * np.cos(t)],
            1,
        )
        out.append(tube(hoop, 0.026 * d, gold, 1.0))
    return out
