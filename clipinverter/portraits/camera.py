"""The camera and the lights of a scene."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri

from clipinverter.portraits.head import Head
from clipinverter.portraits.scene import Scene

_DISTANCE = 0.85  # metres from the camera to the face


def camera(scene: Scene, head: Head) -> tuple[np.ndarray, np.ndarray]:
    """Model-view-projection matrix [4, 4] and the camera's position [3]: FFHQ's crop of this head.

    FFHQ's quad (alignment.py of the data set) as a 2-D similarity on the projected picture is linear in homogeneous
    coordinates, so it is multiplied into the projection.
    """
    yaw = 0.5 * np.clip(_normal(scene.values["yaw"]) / 1.5, -1.35, 1.35)
    pitch = 0.11 * np.clip(_normal(scene.values["pitch"]), -2, 2)
    target = np.r_[head.eye_centres, head.mouth].mean(0) + np.array([0, 0.02, 0])
    back = np.array([np.sin(yaw) * np.cos(pitch), -np.cos(yaw) * np.cos(pitch), np.sin(pitch)])
    eye = target + _DISTANCE * back
    right = np.cross(-back, [0, 0, 1])
    right /= np.linalg.norm(right)
    up = np.cross(right, -back)
    view = np.eye(4)
    view[:3, :3] = np.stack([right, up, back])
    view[:3, 3] = -view[:3, :3] @ eye
    near, far = 0.3, 2.5
    project = np.zeros((4, 4))
    project[0, 0] = project[1, 1] = 1.0
    project[2, 2], project[2, 3], project[3, 2] = (
        (far + near) / (near - far),
        2 * far * near / (near - far),
        -1.0,
    )

    points = np.c_[np.r_[head.eye_centres, head.mouth], np.ones(4)] @ (project @ view).T
    xy = points[:, :2] / points[:, 3:]
    eyes, mouth = xy[:2].mean(0), xy[2:].mean(0)
    between, down = xy[1] - xy[0], mouth - eyes
    x = between + np.array([-down[1], down[0]])  # minus `down` turned by 90 degrees, with y up
    x *= max(2.0 * np.hypot(*between), 1.8 * np.hypot(*down)) / np.hypot(*x)
    centre = eyes + 0.1 * down
    crop = np.eye(4)
    turn = np.array([x, [-x[1], x[0]]]) / (x @ x)
    crop[:2, :2] = turn
    crop[:2, 3] = -turn @ centre
    # The offset multiplies w, which is the fourth row.
    return (crop @ project @ view).astype(np.float32), eye.astype(np.float32)


def _normal(u: float) -> float:
    return float(ndtri(np.clip(u, 1e-4, 1 - 1e-4)))


def lights(
    scene: Scene, right: np.ndarray, up: np.ndarray, back: np.ndarray
) -> dict[str, np.ndarray]:
    """Uniforms of the key and fill lights and the sky, relative to the camera's axes right, up and back, [3] each."""
    a, e, ratio, warmth = np.tanh(
        np.array([_normal(scene.values["light_side"]), *scene.values["light"]]) / 1.6
    )
    azimuth, elevation = 0.95 * a, 0.5 + 0.35 * e
    key = (
        right * np.sin(azimuth) * np.cos(elevation)
        + up * np.sin(elevation)
        + back * np.cos(azimuth) * np.cos(elevation)
    )
    fill = -0.8 * np.sign(a + 1e-9) * min(1.0, abs(a) * 3) * right + 0.15 * up + 0.75 * back
    tint = np.array([1 + 0.10 * warmth, 1.0, 1 - 0.16 * warmth])
    return {
        "key_direction": key,
        "key_colour": (1.06 + 0.14 * ratio) * tint,
        "fill_direction": fill / np.linalg.norm(fill),
        "fill_colour": (0.17 - 0.10 * ratio) * (2 - tint),
        "sky": (0.27 - 0.07 * ratio) * np.array([0.95, 1.0, 1.06]),
        "ground": (0.13 - 0.04 * ratio) * np.array([1.05, 1.0, 0.93]),
    }
