"""GLSL of the renderer. Colours are linear RGB; every program ends in `encode` (a soft shoulder, then gamma)."""

from __future__ import annotations

_COMMON = """#version 330
uniform vec3 camera, key_direction, key_colour, fill_direction, fill_colour, sky, ground;
vec3 encode(vec3 c) {
    c = max(c, vec3(0.0));
    c = 1.22 * c * (1.0 + c * 0.25) / (1.0 + c);
    return pow(c, vec3(1.0 / 2.2));
}
uniform sampler3D cloud; /* random values, repeated */
float noise(vec3 x) { return texture(cloud, x / 32.0).r; }
vec3 wrapped(float d, vec3 w) { return clamp((d + w) / (1.0 + w), 0.0, 1.0); }
/* Diffuse light with soft terminators (wrap) and a specular lobe; ao darkens, and bounces the surface's colour. */
vec3 lit(vec3 albedo, vec3 n, vec3 p, float ao, float open, float gloss, float shine, vec3 wrap) {
    vec3 v = normalize(camera - p);
    vec3 soft = mix(albedo * 0.55 + 0.1, vec3(1.0), ao) * ao;
    vec3 diffuse = key_colour * wrapped(dot(n, key_direction), wrap) * mix(ao, 1.0, 0.35) * open
                 + fill_colour * wrapped(dot(n, fill_direction), wrap) * ao
                 + mix(ground, sky, n.z * 0.5 + 0.5) * soft;
    vec3 h = normalize(key_direction + v), h2 = normalize(fill_direction + v);
    float power = mix(10.0, 110.0, gloss), scale = shine * (power + 8.0) / 30.0;
    vec3 spec = key_colour * pow(max(dot(n, h), 0.0), power) * open
              + 0.6 * fill_colour * pow(max(dot(n, h2), 0.0), power);
    float fresnel = pow(1.0 - max(dot(n, v), 0.0), 4.0);
    return albedo * diffuse + scale * spec * ao + fresnel * 0.18 * sky * ao * (0.3 + albedo);
}
"""

HEAD_VERTEX = """#version 330
uniform mat4 mvp;
in vec3 position, normal, q; in vec4 mask; in vec2 hairline;
out vec3 vp, vn, vq; out vec4 vm; out vec2 vh;
void main() { gl_Position = mvp * vec4(position, 1.0); vp = position; vn = normal; vq = q; vm = mask; vh = hairline; }
"""

# mask: occlusion, lips, inside of the mouth, lid margin; hairline: scalp field, facial hair mask
HEAD_FRAGMENT = (
    _COMMON
    + """
in vec3 vp, vn, vq; in vec4 vm; in vec2 vh; out vec4 colour;
uniform vec3 skin, lip_colour, hair_colour, brow_colour, shadow_colour;
uniform float melanin, age, blush, freckles, makeup, lipstick, stubble, bald, man, angry, bags, closed;
uniform vec4 brow; /* thickness, arch, density, underpaint of facial hair */
float line(float d, float w) { return exp(-d * d / (w * w)); }
/* a soft ellipse around a point of the (mirrored) face */
float blob(vec2 centre, vec2 radii, float w) { return line(length((vec2(abs(vq.x), vq.z) - centre) / radii), w); }
void main() {
    vec3 n = normalize(vn), q = vq; float ax = abs(q.x);
    float ao = pow(vm.x, 1.25), face = smoothstep(0.9, 0.5, q.y);
    float grain = noise(q * 42.0) - 0.5, mottle = noise(q * 7.0) - 0.5;
    vec3 base = skin * (1.0 + 0.06 * mottle + (0.03 + 0.05 * man + 0.06 * age) * grain);
    float warm = blob(vec2(0.68, -0.55), vec2(1.0, 0.8), 0.42) * face
               + 0.8 * line(length(vec3(q.x, q.y + 0.5, q.z + 0.62)), 0.3) + 0.7 * smoothstep(1.18, 1.32, ax);
    base *= mix(vec3(1.0), vec3(1.06, 0.84, 0.80), warm * 0.75 * (1.0 - 0.6 * melanin));
    base *= mix(vec3(1.0), vec3(0.80, 0.35, 0.36), blush * face * 0.62
        * blob(vec2(0.72, -0.55), vec2(1.0, 0.75), 0.30));
    base *= mix(vec3(1.0), vec3(0.86, 0.62, 0.60), makeup * face * 0.6 * blob(vec2(0.85, -0.42), vec2(1.0, 0.6), 0.22));
    /* freckles: dots of two sizes over cheeks and nose */
    float spots = smoothstep(0.66, 0.76, noise(q * 21.0 + 3.0)) + 0.7 * smoothstep(0.70, 0.8, noise(q * 34.0));
    base *= mix(vec3(1.0), vec3(0.52, 0.36, 0.27), freckles * face * 0.9 * min(spots, 1.0)
        * blob(vec2(0.42, -0.42), vec2(1.25, 0.75), 0.55));
    /* age: creases darken and tilt the normal */
    float z = q.z + 0.025 * sin(q.x * 7.0) - 0.05 * q.x * q.x;
    float brow_zone = face * smoothstep(1.0, 0.4, ax) * smoothstep(0.40, 0.55, q.z) * smoothstep(1.1, 0.9, q.z);
    float creases = brow_zone * 0.8 * pow(0.5 + 0.5 * sin(z * 36.0), 5.0);
    float nl = ax - (0.30 + 0.55 * clamp(-0.52 - q.z, 0.0, 1.0) - 0.35 * pow(clamp(-0.52 - q.z, 0.0, 1.0), 2.0));
    creases += 1.1 * face * line(nl, 0.035) * smoothstep(-0.46, -0.62, q.z) * smoothstep(-1.35, -1.05, q.z);
    vec2 e = vec2(ax - 0.88, q.z + 0.02);
    creases += 1.0 * smoothstep(0.0, 0.08, e.x) * smoothstep(0.34, 0.1, length(e))
        * pow(0.5 + 0.5 * sin(atan(e.y, e.x) * 11.0), 3.0);
    float lower = length(vec2(ax - 0.5, (q.z - 0.1) * 1.25));
    creases += 0.9 * face * line(lower - 0.50, 0.035) * smoothstep(0.0, -0.15, q.z) * smoothstep(0.95, 0.7, ax);
    creases += 0.6 * face * line(lower - 0.58, 0.03) * smoothstep(0.0, -0.15, q.z) * smoothstep(0.9, 0.7, ax);
    creases += 0.8 * face * line(ax - 0.62 - 0.2 * (q.z + 1.3), 0.03)
        * smoothstep(-1.15, -1.25, q.z) * smoothstep(-1.6, -1.45, q.z);
    base *= 1.0 - clamp(creases * age * (0.30 + 0.12 * man), 0.0, 0.5) * vec3(0.85, 1.0, 1.05);
    base *= 1.0 - angry * 0.45 * line(ax - 0.1, 0.03) * smoothstep(0.1, 0.2, q.z) * smoothstep(0.5, 0.38, q.z) * face;
    base *= mix(vec3(1.0), vec3(0.78, 0.66, 0.70), bags * face * line(lower - 0.36, 0.14)
        * smoothstep(0.02, -0.14, q.z));
    base *= 1.0 - age * 0.22 * smoothstep(0.70, 0.78, noise(q * 9.0 + 11.0)) * vec3(0.5, 0.7, 0.8) * (1.0 - melanin);
    /* facial hair: shadow under stubble and strands */
    float dots = 0.75 + 0.5 * noise(q * 70.0);
    base = mix(base, hair_colour * 0.8, clamp(vh.y * brow.w * dots, 0.0, 0.95));
    base = mix(base, mix(base * 0.62, vec3(0.07, 0.075, 0.08) + 0.2 * hair_colour, 0.45), vh.y * stubble * dots);
    /* eyes: shadow, liner, lash line */
    float lid = vm.w;
    float above = smoothstep(-0.02, 0.05, q.z);
    float lid_area = line(length((vec2(ax - 0.52, q.z - 0.13)) / vec2(1.35, 0.8)), 0.24) * face;
    base = mix(base, shadow_colour, makeup * 0.9 * min(1.15 * lid_area, 1.0));
    base *= 1.0 - 0.12 * lid_area;
    /* of closed eyes: on the lower lid, where the upper one rests */
    float rim = length(vec2(ax - 0.515, q.z + 0.012) / vec2(0.195, 0.072)) + 0.2 * (noise(q * 60.0) - 0.5);
    float resting = smoothstep(2.2, 1.9, rim) * smoothstep(0.01, -0.02, q.z) * face;
    float lashes = mix(lid * mix(0.35, 1.0, above), max(lid, 0.95 * resting), closed);
    base = mix(base, vec3(0.012, 0.009, 0.008), lashes
        * mix(0.55, 1.0, max(max(makeup, 0.6 * closed), 0.65 * (1.0 - man))));
    /* brows */
    float u = (ax - 0.13) / 0.87;
    float centre = 0.275 - 0.035 * man + 0.07 * sin(clamp(u, 0.0, 1.0) * 2.6) - 0.05 * u
        + brow.y * (0.13 * exp(-pow((u - 0.6) / 0.3, 2.0)) - 0.03 * (1.0 - u));
    float thick = brow.x * mix(1.0, 0.45, smoothstep(0.35, 1.0, u)) * smoothstep(-0.04, 0.12, u);
    float stroke = noise(vec3(q.x * 46.0 - sign(q.x) * (q.z - centre) * 60.0 * mix(1.0, 0.1, u), q.z * 13.0, 3.0));
    float inside = smoothstep(1.15, 0.35, abs(q.z - centre) / thick + 0.35 * (stroke - 0.5))
        * smoothstep(-0.03, 0.1, u) * smoothstep(1.02, 0.86, u) * face;
    base = mix(base, brow_colour * (0.7 + 0.6 * stroke), clamp(inside * brow.z * (0.55 + 0.6 * stroke), 0.0, 0.97));
    /* lips */
    float s = clamp(ax / 0.385, 0.0, 1.0);
    float top = -1.145 + 0.205 * (1.0 - pow(s, 1.6)) - 0.022 * line(ax, 0.05);
    float bottom = -1.155 - 0.185 * (1.0 - s * s * s);
    float lips = smoothstep(-0.014, 0.014, min(top - q.z, q.z - bottom) + 0.008 * grain)
        * step(q.y, 0.1) * step(ax, 0.385);
    vec3 lip = lip_colour * (1.0 + 0.25 * (noise(vec3(q.x * 45.0, q.z * 8.0, 0.0)) - 0.5) * (1.0 - lipstick));
    base = mix(base, lip, lips * mix(0.85, 0.97, lipstick));
    /* scalp under the hair */
    float scalp = smoothstep(-0.06, 0.10, vh.x + 0.10 * (noise(q * 26.0) - 0.5)) * (1.0 - bald);
    base = mix(base, hair_colour * 0.55, scalp * 0.93);
    float stub = smoothstep(-0.05, 0.15, vh.x) * bald * 0.22;
    base = mix(base, base * 0.6 + hair_colour * 0.1, stub);
    base = mix(base, vec3(0.16, 0.035, 0.03) * (0.25 + ao), vm.z);
    ao = mix(ao, ao * 0.15, vm.z);
    float gloss = 0.18 + 0.6 * lips * (0.5 + 0.5 * lipstick) - 0.05 * man;
    float shine = (0.045 + 0.03 * melanin + 0.02 * (1.0 - face) + 0.05 * lips * (1.0 + lipstick)
        + 0.02 * line(length(vec2(q.x, q.z + 0.45)), 0.3))
        * (0.75 + 0.6 * noise(q * 60.0));
    shine *= 1.0 - 0.9 * max(scalp, max(inside, vm.z));
    /* the chin's shadow on the neck, the hair's on the skin beside it */
    float open = 1.0 - 0.62 * smoothstep(0.10, 0.55, q.y) * smoothstep(-1.35, -1.8, q.z)
        - 0.4 * (1.0 - bald) * line(min(vh.x, 0.0), 0.16);
    ao *= 0.5 + 0.5 * open;
    vec3 wrap = mix(vec3(0.42, 0.26, 0.21), vec3(0.25), melanin);
    colour = vec4(encode(lit(base, n, vp, ao, open, gloss, shine, wrap)), 1.0);
}
"""
)

EYE_FRAGMENT = (
    _COMMON
    + """
in vec3 vp, vn, vq; in vec4 vm; in vec2 vh; out vec4 colour;
uniform vec3 eye_centres[2]; uniform vec3 iris; uniform float radius, iris_radius;
void main() {
    vec3 c = vq.x < 0.0 ? eye_centres[0] : eye_centres[1];
    vec3 gaze = normalize(camera - c), rel = vp - c, n = normalize(rel);
    vec3 right = normalize(cross(vec3(0, 0, 1), -gaze)), up = cross(-gaze, right);
    vec2 xy = vec2(dot(rel, right), dot(rel, up)) / iris_radius;
    float r = length(xy), a = atan(xy.y, xy.x);
    vec3 white = vec3(0.62, 0.585, 0.56) * mix(vec3(1.0), vec3(0.95, 0.72, 0.68), smoothstep(1.4, 2.6, r));
    float fibre = 0.75 + 0.5 * noise(vec3(a * 9.0, r * 2.0, 1.0));
    vec3 ring = iris * fibre * mix(1.35, 0.8, smoothstep(0.3, 0.95, r))
        * (1.0 + 0.7 * smoothstep(0.3, -0.9, xy.y + 0.3 * xy.x));
    ring *= 1.0 - 0.75 * smoothstep(0.78, 1.0, r);
    vec3 base = mix(ring, vec3(0.004), smoothstep(0.44, 0.36, r));
    base = mix(base, white, smoothstep(0.95, 1.08, r));
    float lid = smoothstep(1.25, 0.2, xy.y) * smoothstep(-2.2, -0.9, xy.y);
    float corner = smoothstep(2.6, 1.2, abs(xy.x));
    float ao = mix(0.28, 1.0, lid) * mix(0.5, 1.0, corner);
    vec3 l = lit(base, n, vp, ao, 1.0, 0.9, 0.04, vec3(0.5));
    vec2 spot = xy - vec2(0.36 * clamp(4.0 * dot(key_direction, right), -1.0, 1.0), 0.42);
    l += vec3(1.1) * smoothstep(0.27, 0.15, length(spot)) + 0.22 * smoothstep(0.3, 0.1, length(xy + vec2(0.35, 0.5)));
    colour = vec4(encode(l), 1.0);
}
"""
)

PART_VERTEX = """#version 330
uniform mat4 mvp;
in vec3 position, normal; in vec4 tint; in float shine;
out vec3 vp, vn; out vec4 vc; out float vs;
void main() { gl_Position = mvp * vec4(position, 1.0); vp = position; vn = normal; vc = tint; vs = shine; }
"""

PART_FRAGMENT = (
    _COMMON
    + """
in vec3 vp, vn; in vec4 vc; in float vs; out vec4 colour;
void main() {
    vec3 n = normalize(vn), v = normalize(camera - vp);
    if (dot(n, v) < 0.0) n = -n;
    vec3 albedo = vc.rgb * (0.94 + 0.12 * noise(vp * 900.0));
    vec3 l = lit(albedo, n, vp, 0.9, 1.0, vs, 0.02 + 0.25 * vs, vec3(0.25));
    colour = vec4(encode(l), vc.a);
}
"""
)

# Ribbons are thin, so they are lit at their vertices: Kajiya-Kay strands with the volume's own normal.
HAIR_VERTEX = (
    _COMMON
    + """
uniform mat4 mvp; uniform vec3 middle;
in vec3 position, tangent; in vec4 tint;
out vec3 shown;
vec3 strand(vec3 l, vec3 c, vec3 t, vec3 v, vec3 n) {
    float tl = dot(t, l), tv = dot(t, v), sl = sqrt(max(1.0 - tl * tl, 0.0)), sv = sqrt(max(1.0 - tv * tv, 0.0));
    float facing = clamp((dot(n, l) + 0.45) / 1.45, 0.0, 1.0);
    float spec = pow(max(sl * sv - tl * tv, 0.0), 26.0);
    return (tint.rgb * mix(0.55, 1.0, sl) + (0.05 + 0.35 * tint.rgb) * spec) * c * facing;
}
void main() {
    gl_Position = mvp * vec4(position, 1.0);
    vec3 v = normalize(camera - position), n = normalize(position - middle);
    vec3 l = strand(key_direction, key_colour, tangent, v, n) + strand(fill_direction, fill_colour, tangent, v, n)
           + tint.rgb * mix(ground, sky, n.z * 0.5 + 0.5);
    float rim = pow(1.0 - max(dot(n, v), 0.0), 3.0);
    shown = encode(l * tint.a * 1.15 + rim * 0.10 * sky * (0.25 + tint.rgb));
}
"""
)

HAIR_FRAGMENT = """#version 330
in vec3 shown; out vec4 colour;
void main() { colour = vec4(shown, 1.0); }
"""

BACKDROP_VERTEX = """#version 330
out vec2 uv;
void main() { uv = vec2((gl_VertexID << 1) & 2, gl_VertexID & 2); gl_Position = vec4(uv * 2.0 - 1.0, 0.999, 1.0); }
"""

BACKDROP_FRAGMENT = """#version 330
in vec2 uv; out vec4 colour; uniform vec3 low, high; uniform vec2 direction;
void main() {
    float t = smoothstep(-0.8, 0.8, dot(uv - 0.5, direction));
    vec3 c = mix(low, high, t) * (1.0 - 0.35 * dot(uv - 0.5, uv - 0.5));
    colour = vec4(pow(max(c, vec3(0.0)), vec3(1.0 / 2.2)), 1.0);
}
"""
