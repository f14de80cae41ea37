"""`render(scene, size)`: the picture of a scene, by OpenGL in software or hardware.

The picture is framed like FFHQ's aligned crops (camera.py). Everything is drawn from front to back, at twice the size,
and averaged down.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy.special import ndtr

from clipinverter.portraits import hair, outfit, regions, shaders
from clipinverter.portraits.bake import RenderingError
from clipinverter.portraits.camera import camera, lights
from clipinverter.portraits.colours import backdrop
from clipinverter.portraits.head import Head, shape, template
from clipinverter.portraits.scene import Scene
from clipinverter.portraits.surfaces import Part

_SAMPLES = 4  # samples for each pixel when the picture is not rendered at twice its size

_SKIN = (
    np.array([[240, 206, 190], [226, 181, 153], [204, 150, 114], [146, 96, 68], [86, 55, 42]])
    / 255.0
)
_IRIS = {"brown": (0.13, 0.052, 0.02), "blue": (0.11, 0.24, 0.45), "green": (0.10, 0.20, 0.055)}


def render(scene: Scene, size: int) -> np.ndarray:
    """The picture of a scene: uint8 [size, size, 3].

    Raises:
        RenderingError: OpenGL (EGL) or the head's data are missing; the message says what to install.
    """
    head = shape(scene)
    factor = 2 if size <= 256 else 1
    painter = _painter(size * factor, 0 if factor > 1 else _SAMPLES)
    pixels = painter.paint(scene, head)
    if factor == 1:
        return pixels
    sums = pixels.reshape(size, factor, size, factor, 3).astype(np.uint16).sum((1, 3))
    return ((sums + factor * factor // 2) // (factor * factor)).astype(np.uint8)


@cache
def _painter(size: int, samples: int) -> _Painter:
    return _Painter(_context(), size, samples)


@cache
def _context():
    try:
        import moderngl

        return moderngl.create_context(standalone=True, backend="egl")
    except Exception as e:
        raise RenderingError(
            "Rendering portraits needs OpenGL through EGL: pip install -r requirements-train.txt, and on Debian "
            f"or Ubuntu apt-get install libegl1 libgl1-mesa-dri ({e})"
        ) from e


def skin_colour(melanin: float) -> np.ndarray:
    """Linear RGB of the skin, from very pale (0) to very dark (1)."""
    at = np.linspace(0, 1, len(_SKIN))
    return np.array([np.interp(melanin, at, _SKIN[:, i] ** 2.2) for i in range(3)])


def _paint_uniforms(scene: Scene) -> dict[str, object]:
    """Uniforms of the head's shader."""
    melanin, years = scene.melanin, scene.age
    skin = skin_colour(melanin)
    woman, makeup = scene.is_woman, bool(scene.label("heavy makeup"))
    hair_colour = np.array(hair.COLOURS[scene.label("hair_colour")])
    level = scene.values["brows"]
    thickness = float(np.interp(level, (0, 0.18, 0.5, 0.78, 1), (0.030, 0.040, 0.062, 0.085, 0.12)))
    natural = skin * (np.array([0.84, 0.40, 0.42]) if woman else np.array([0.76, 0.53, 0.50]))
    berry = float(ndtr(scene.values["clothes_colour"][0]))
    bold = (1 - berry) * np.array([0.52, 0.018, 0.025]) + berry * np.array([0.40, 0.012, 0.10])
    lipstick = 1.0 if scene.label("lipstick") else 0.0
    lips = bold * (1 - 0.35 * melanin) if lipstick else natural * (0.9 if makeup else 1.0)
    kind = scene.label("facial_hair")
    return {
        "skin": skin,
        "melanin": melanin,
        "age": float(np.clip((years - 35) / 48, 0, 1)) ** 1.2,
        "bags": float(np.clip((years - 25) / 55, 0.05, 1)) * 0.65,
        "blush": 1.0 if scene.label("rosy cheeks") else 0.0,
        "freckles": 1.0 if scene.label("freckles") else 0.0,
        "makeup": 1.0 if makeup else 0.0,
        "lipstick": lipstick,
        "lip_colour": lips,
        "hair_colour": hair_colour,
        "brow_colour": 0.5 * hair_colour * 0.8 + 0.004 if hair_colour.max() < 0.5 else 0.45 * hair_colour,
        "shadow_colour": np.array([0.16, 0.045, 0.19]) * (1 - 0.35 * melanin),
        "stubble": 0.9 if kind == "stubble" else 0.0 if woman else 0.16,
        "bald": 1.0 if scene.label("hair_style") == "bald" else 0.0,
        "man": 0.0 if woman else 1.0,
        "angry": 1.0 if scene.label("expression") == "angry" else 0.0,
        "closed": 1.0 if scene.label("eyes closed") else 0.0,
        "brow": (thickness * (0.75 if woman else 1.15), 1.0 if scene.label("arched eyebrows") else 0.0, 0.95,
                 0.9 if kind in ("beard", "goatee", "moustache") else 0.0),
    }  # fmt: skip


class _Painter:
    """Programs and buffers of one picture size."""

    def __init__(self, context, size: int, samples: int):
        import moderngl

        self.gl, self.size, self.context = moderngl, size, context
        self.target = context.simple_framebuffer((size, size), 3)
        self.canvas = self.target
        if samples:
            colour = context.renderbuffer((size, size), 3, samples=samples)
            depth = context.depth_renderbuffer((size, size), samples=samples)
            self.canvas = context.framebuffer([colour], depth)
        t = template()
        program = context.program
        self.head = program(
            vertex_shader=shaders.HEAD_VERTEX, fragment_shader=shaders.HEAD_FRAGMENT
        )
        self.eyes = program(vertex_shader=shaders.HEAD_VERTEX, fragment_shader=shaders.EYE_FRAGMENT)
        self.part = program(
            vertex_shader=shaders.PART_VERTEX, fragment_shader=shaders.PART_FRAGMENT
        )
        self.hair = program(
            vertex_shader=shaders.HAIR_VERTEX, fragment_shader=shaders.HAIR_FRAGMENT
        )
        self.backdrop = program(
            vertex_shader=shaders.BACKDROP_VERTEX, fragment_shader=shaders.BACKDROP_FRAGMENT
        )
        values = np.random.default_rng(0).integers(0, 256, 32**3, np.uint8)
        self.cloud = context.texture3d((32, 32, 32), 1, values.tobytes())
        fixed = np.c_[t.q, t.occlusion, t.lips, t.cavity, t.lid].astype("f4")
        self.fixed = context.buffer(fixed.tobytes())
        self.moving = context.buffer(reserve=len(t.q) * 8 * 4)
        layout = [
            (self.fixed, "3f 4f", "q", "mask"),
            (self.moving, "3f 3f 2f", "position", "normal", "hairline"),
        ]
        self.skin_faces = context.vertex_array(
            self.head, layout, context.buffer(t.skin_faces.astype("i4").tobytes()), skip_errors=True
        )
        self.eye_faces = context.vertex_array(
            self.eyes, layout, context.buffer(t.eye_faces.astype("i4").tobytes()), skip_errors=True
        )
        self.screen = context.vertex_array(self.backdrop, [])

    def paint(self, scene: Scene, head: Head) -> np.ndarray:
        gl, context = self.gl, self.context
        mvp, eye = camera(scene, head)
        back = (eye - head.eye_centres.mean(0)).astype(float)
        back /= np.linalg.norm(back)
        right = np.cross([0, 0, 1.0], back)
        right /= np.linalg.norm(right)
        common = {
            "mvp": mvp,
            "camera": eye,
            "cloud": 2,
            **lights(scene, right, np.cross(back, right), back),
        }

        self.canvas.use()
        self.cloud.use(2)
        context.enable(gl.DEPTH_TEST)
        self.canvas.clear(0, 0, 0, 1)
        # Front to back, so that hidden pixels are never shaded.
        for strands in hair.groom(scene, head):
            self._strands(strands, common, head)
        skin = skin_colour(scene.melanin) * 0.8
        worn = outfit.parts(scene, head)
        self._parts([p for p in worn if p.alpha == 1.0], common, skin)

        t = template()
        receding = 1.0 if scene.label("receding hairline") else 0.0
        kind = scene.label("facial_hair")
        field = regions.scalp(t.q, receding, scene.is_woman)
        beard = regions.facial(t.q, "beard" if kind in ("none", "stubble") else kind)
        moving = np.c_[head.vertices, head.normals, field, beard].astype("f4")
        self.moving.write(moving.tobytes())
        _set(self.head, common | _paint_uniforms(scene))
        context.enable(gl.CULL_FACE)
        self.skin_faces.render()
        context.disable(gl.CULL_FACE)
        eyes = {
            "eye_centres": _eyeballs(head),
            "iris": _IRIS[scene.label("eye_colour")],
            "iris_radius": 0.098 * t.eye_distance,
        }
        _set(self.eyes, common | eyes)
        self.eye_faces.render()

        _set(self.backdrop, backdrop(scene))
        self.screen.render(gl.TRIANGLES, 3)
        clear = [p for p in worn if p.alpha < 1.0]
        if clear:
            context.enable(gl.BLEND)
            self._parts(clear, common, skin)
            context.disable(gl.BLEND)
        if self.canvas is not self.target:
            context.copy_framebuffer(self.target, self.canvas)
        raw = self.target.read(components=3, alignment=1)
        return np.frombuffer(raw, np.uint8).reshape(self.size, self.size, 3)[::-1]

    def _parts(self, parts: list[Part], common, skin) -> None:
        rows, triangles, start = [], [], 0
        for p in parts:
            colour = skin if p.colour[0] < 0 else p.colour
            looks = np.tile(np.r_[colour, p.alpha, p.gloss], (len(p.vertices), 1))
            rows.append(np.c_[p.vertices, p.normals, looks])
            triangles.append(p.triangles + start)
            start += len(p.vertices)
        _set(self.part, common)
        vertices = self.context.buffer(np.concatenate(rows).astype("f4").tobytes())
        indices = self.context.buffer(np.concatenate(triangles).astype("i4").tobytes())
        array = self.context.vertex_array(
            self.part, [(vertices, "3f 3f 4f 1f", "position", "normal", "tint", "shine")], indices
        )
        array.render()
        for x in (array, vertices, indices):
            x.release()

    def _strands(self, s: hair.Strands, common, head: Head) -> None:
        n, steps = s.points.shape[:2]
        middle = regions.to_head(regions.CENTRE, head)
        _set(self.hair, common | {"middle": middle})
        vertices = self.context.buffer(_ribbon_vertices(s, common["camera"]).tobytes())
        indices = self.context.buffer(_ribbons(n, steps))
        array = self.context.vertex_array(
            self.hair, [(vertices, "3f 3f 4f", "position", "tangent", "tint")], indices
        )
        array.render(self.gl.TRIANGLES)
        for x in (array, vertices, indices):
            x.release()


def _ribbon_vertices(s: hair.Strands, eye: np.ndarray) -> np.ndarray:
    """[n, steps, 2, 10] float32: ribbons that face the viewer and narrow to their tips.

    The columns are position, tangent, colour and shade.
    """
    p = s.points
    steps = p.shape[1]
    t = np.empty_like(p)
    t[:, 1:-1] = p[:, 2:] - p[:, :-2]
    t[:, 0], t[:, -1] = p[:, 1] - p[:, 0], p[:, -1] - p[:, -2]
    t *= 1.0 / np.sqrt(np.einsum("nkd,nkd->nk", t, t) + 1e-16)[..., None]
    v = eye - p
    side = np.stack([t[..., 1] * v[..., 2] - t[..., 2] * v[..., 1], t[..., 2] * v[..., 0] - t[..., 0] * v[..., 2],
                     t[..., 0] * v[..., 1] - t[..., 1] * v[..., 0]], -1)  # fmt: skip
    u = np.linspace(0, 1, steps, dtype=np.float32)
    width = 0.5 * s.width[:, None] * (1 - 0.75 * u * u)
    side *= (width / np.sqrt(np.einsum("nkd,nkd->nk", side, side) + 1e-16))[..., None]
    out = np.empty((*p.shape[:2], 2, 10), np.float32)
    out[:, :, 0, :3], out[:, :, 1, :3] = p - side, p + side
    out[..., 3:6] = t[:, :, None]
    out[..., 6:9] = (s.colour[:, None] * (0.72 + 0.4 * u)[:, None])[:, :, None]
    out[..., 9] = s.shade[:, None, None]
    return out


@cache
def _ribbons(strands: int, steps: int) -> bytes:
    """Triangle indices of ribbons with 2 vertices a step."""
    quad = np.array([0, 1, 2, 1, 3, 2])
    one = (2 * np.arange(steps - 1)[:, None] + quad).ravel()
    return (2 * steps * np.arange(strands)[:, None] + one).astype("i4").tobytes()


def _eyeballs(head: Head) -> np.ndarray:
    """Centres [2, 3] of the eyeballs, behind the middle of their fronts."""
    return head.eye_centres + np.array([0, 0.13, 0]) * template().eye_distance


def _set(program, values: dict[str, object]) -> None:
    for name, value in values.items():
        if name in program:
            member = program[name]
            array = np.asarray(value, np.float32)
            if name == "mvp":
                member.write(array.T.tobytes())
            elif isinstance(value, int):
                member.value = value
            elif array.ndim == 0:
                member.value = float(array)
            else:
                member.write(array.tobytes())
