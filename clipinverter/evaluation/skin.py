"""How dark skin is, as measured in an aligned picture of a face.

The individual typology angle (Chardon et al., "Skin colour typology and suntanning pathways", 1991):
the angle of lightness above 50 against yellow in CIELAB, in degrees. It falls as skin gets darker.
"""

import math

import numpy as np
from PIL import Image, ImageCms

SIZE = 256  # pixels; the boxes below are in a picture of that size
CHEEKS = (76, 134, 102, 162), (154, 134, 180, 162)  # of nearly every FFHQ-aligned face
GROUPS = {"light": 41.0, "medium": 10.0, "dark": -90.0}  # degrees from which a group begins


def angle(image: Image.Image) -> float:
    """The angle of an aligned RGB face, from -90 to 90 degrees; the median of both cheeks."""
    small = image.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BOX)
    cheeks = [np.asarray(_lab(small.crop(box))).reshape(-1, 3) for box in CHEEKS]
    lightness, _, yellow = np.median(np.concatenate(cheeks).astype(np.uint8), axis=0)
    yellow = yellow - 256 if yellow > 127 else yellow  # stored as a signed byte
    return math.degrees(math.atan2(lightness * 100 / 255 - 50, max(float(yellow), 0.01)))


def group(degrees: float) -> str:
    """light, medium or dark."""
    return next(name for name, lowest in GROUPS.items() if degrees >= lowest)


def _lab(image: Image.Image) -> Image.Image:
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    return ImageCms.profileToProfile(image, srgb, lab, outputMode="LAB")
