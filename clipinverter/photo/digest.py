"""Names of pictures by their content, for caches."""

import os
from hashlib import blake2b
from pathlib import Path

import numpy as np
from PIL import Image


def photo_digest(photo: Image.Image) -> str:
    """Digest of an RGB picture's pixels."""
    digest = blake2b(f"{photo.width}x{photo.height} ".encode(), digest_size=16)
    digest.update(np.ascontiguousarray(photo))
    return digest.hexdigest()


def file_digest(file: str | os.PathLike[str] | bytes) -> str:
    """Digest of a file. One that can't be read has the digest of nothing; loading it says why."""
    if not isinstance(file, bytes):
        path = Path(file)
        file = path.read_bytes() if path.is_file() else b""
    return blake2b(file, digest_size=16).hexdigest()
