"""Pictures of any mode, depth and colour profile as RGB in sRGB."""

import io
import sys
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageCms, TiffImagePlugin

DEPTHS = (10, 12, 14, 16)  # bits that cameras and scanners put into 16
DARK = 2**6  # no upper byte of 16 bits reaches it if the picture has 14 bits or fewer
MAX_SAMPLE_VALUE = 281  # TIFF's tag for the white level


def to_rgb(image: Image.Image) -> Image.Image:
    """A loaded picture as sRGB, with transparency laid on white."""
    if image.mode.startswith(("I", "F")):
        return _from_deep_grey(image)
    if not image.has_transparency_data:
        return _to_srgb(image).convert("RGB")
    alpha = image.convert("RGBA").getchannel("A")
    colours = image.convert("LA" if image.mode in ("L", "LA", "La") else "RGBA")
    colours = colours.convert(colours.mode[:-1])
    colours.info = image.info
    white = Image.new("RGB", image.size, "white")
    return Image.composite(_to_srgb(colours).convert("RGB"), white, alpha)


def has_16_bits(image: Image.Image) -> bool:
    """Whether the colours of an opened file, not yet loaded, have 16 bits; Pillow reads the upper 8."""
    return image.mode in ("RGB", "RGBA") and any(";16" in str(tile.args) for tile in image.tile)


def from_16_bits(image: Image.Image, open_again: Callable[[], Image.Image]) -> Image.Image:
    """A loaded picture of `has_16_bits` in 8 bits, scaled by the white level that it was stored with.

    Args:
        open_again: opens the same file; of a dark picture the lower bytes are read as well.
    """
    upper = image.split()
    if max(band.getextrema()[1] for band in upper[:3]) >= DARK:
        return image
    with open_again() as file:
        file.tile = [tile._replace(args=_other_order(tile.args)) for tile in file.tile]
        bands = [
            np.asarray(low).astype(np.uint16) + (np.asarray(high).astype(np.uint16) << 8)
            for low, high in zip(file.split()[:3], upper[:3], strict=True)
        ]
    white = _white_of_16_bits(image, max(band.max() for band in bands))
    scaled = [Image.fromarray(_levels(band, white)) for band in bands]
    result = Image.merge(image.mode, (*scaled, *upper[3:]))
    result.info = image.info
    return result


def _other_order(args: str | tuple) -> str | tuple:
    """Arguments of a decoder that takes the bytes of 16 bits in the other order, lower ones first."""
    if isinstance(args, tuple):
        return (_other_order(args[0]), *args[1:])
    mode, order = args[:-1], args[-1]
    if order == "N":  # of this machine
        order = sys.byteorder[0].upper()
    return mode + ("L" if order == "B" else "B")


def _levels(values: np.ndarray, white: float) -> np.ndarray:
    """Values from 0 to white as uint8."""
    return np.rint(np.clip(values / np.float32(white), 0, 1) * 255).astype(np.uint8)


def _from_deep_grey(image: Image.Image) -> Image.Image:
    """Grey of 16 or 32 bits; floats and 32-bit integers may use any of three usual ranges."""
    values = np.asarray(image).astype(np.float32)
    peak = values.max()
    is_16_bit = image.mode.startswith("I;16") or peak > 255
    white = _white_of_16_bits(image, peak) if is_16_bit else 1
    if not is_16_bit and (peak > 1 or image.mode == "I"):
        white = 255
    return Image.fromarray(_levels(values, white)).convert("RGB")


def _white_of_16_bits(image: Image.Image, peak: float) -> int:
    """The white level: as the file says, or the smallest usual one that holds the picture.

    What does not get beyond 8 bits is dark: nobody would have stored it in 16.
    """
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        said = image.tag_v2.get(MAX_SAMPLE_VALUE)
        said = max(said) if isinstance(said, tuple) else said
        if said and max(peak, 255) <= said < 65535:
            return int(said)
    return next(2**bits - 1 for bits in DEPTHS if peak < 2**bits) if peak > 255 else 65535


def _to_srgb(image: Image.Image) -> Image.Image:
    """Phones store wide-gamut colours, which look faded when read as sRGB."""
    data = image.info.get("icc_profile")
    if data and image.mode == "P":
        image = image.convert("RGB")
    if not data or image.mode not in ("L", "RGB", "CMYK"):
        return image
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(data))
        if "sRGB" in ImageCms.getProfileDescription(profile):
            return image
        target = ImageCms.createProfile("sRGB")
        return ImageCms.profileToProfile(image, profile, target, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return image  # a broken profile does not make the photo unusable
