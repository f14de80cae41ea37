"""The measures that papers report: manipulative precision, FID and LPIPS."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

import torch
from torch import Tensor

from clipinverter.errors import UserError
from clipinverter.evaluation.editing import clip_score
from clipinverter.photo.load import find_photos, load_photo
from clipinverter.photo.tensors import fit, to_tensor
from clipinverter.weights.load import Models

CELEBA: Mapping[str, str] = MappingProxyType(
    {
        "Blond_Hair": "This person has blond hair.",
        "Bushy_Eyebrows": "This person has bushy eyebrows.",
        "Chubby": "This person is chubby.",
        "Double_Chin": "This person has double chin.",
        "Eyeglasses": "This person has eyeglasses.",
        "Goatee": "This person has a goatee.",
        "Gray_Hair": "This person has gray hair.",
        "Heavy_Makeup": "This person wears heavy makeup.",
        "Male": "This is a male.",
        "Mouth_Slightly_Open": "This person has mouth slightly open.",
        "Mustache": "This person has a mustache.",
        "Rosy_Cheeks": "This person has rosy cheeks.",
        "Smiling": "This person is smiling.",
        "Wearing_Lipstick": "This person is wearing lipstick.",
        "Wearing_Necktie": "This person is wearing a necktie.",
    }
)
"""The fifteen attributes of CelebA, with their captions, of the first author's measure (github.com/johnberg1/
textmodulationrestyle, calculate_mp_caption.py). Its captions say "he" or "she" by CelebA's labels; these are its older
ones, which need no labels."""

COMPARED_SIZE = 256  # px


class MetricError(UserError):
    """A measure can't be taken; the message says what is missing."""


@torch.no_grad()
def manipulative_precision(models: Models, results: Tensor, inputs: Tensor, caption: str) -> Tensor:
    """MP [B]: CLIP's similarity of result and caption, times 1 minus the mean absolute difference of result and input.

    The first author's measure, with the domain's own text-image model in the place of ViT-B/32. Values of different
    text-image models can't be compared.

    Args:
        results, inputs: images [B, 3, S, S] in [-1, 1]; compared at 256 px.
    """
    results, inputs = (fit(images, COMPARED_SIZE) for images in (results, inputs))
    difference = (results - inputs).abs().mean(dim=(1, 2, 3))
    return clip_score(models, results, caption) * (1 - difference)


def fid(real: Iterable[Tensor], drawn: Iterable[Tensor]) -> float:
    """Fréchet inception distance of two sets of images [B, 3, S, S] in [-1, 1]; needs two images of each.

    With much fewer than some thousand images FID is biased upwards: compare values of equally many only.

    Raises:
        MetricError: torchmetrics or the weights of its InceptionV3 can't be had.
    """
    try:
        from torchmetrics.image.fid import FrechetInceptionDistance

        metric = FrechetInceptionDistance(feature=inception(), normalize=True)
    except (ImportError, OSError) as error:
        raise MetricError(_lacks("FID", "InceptionV3", error)) from None
    for images, is_real in ((real, True), (drawn, False)):
        for batch in images:
            metric.update(((batch + 1) / 2).clamp(0, 1), real=is_real)
    return float(metric.compute())


def inception() -> int | torch.nn.Module:
    """The feature of torchmetrics' FID: the last pooling of InceptionV3."""
    return 2048


def lpips(pairs: Iterable[tuple[Tensor, Tensor]]) -> float:
    """Mean LPIPS (AlexNet) of pairs of images [B, 3, S, S] in [-1, 1]; 0 for equal ones.

    Raises:
        MetricError: torchmetrics or AlexNet's weights can't be had.
    """
    from clipinverter.training.lpips import LPIPS

    try:
        net = LPIPS()
    except (ImportError, OSError) as error:
        raise MetricError(_lacks("LPIPS", "AlexNet", error)) from None
    with torch.no_grad():
        return float(torch.cat([net.distances(a, b) for a, b in pairs]).mean())


def folders(
    real: Path, drawn: Path, tell: Callable[[str], None] = print
) -> dict[str, float | int | None]:
    """FID of two folders of aligned pictures, and LPIPS and L1 of those with equal names. What can't be had is None.

    Raises:
        PhotoError: there are no pictures.
    """
    found = [{path.stem: path for path in find_photos(folder)} for folder in (real, drawn)]
    common = sorted(set(found[0]) & set(found[1]))
    pairs = [[read(side[name]) for side in found] for name in common]
    report: dict[str, float | int | None] = {
        "real": len(found[0]), "drawn": len(found[1]), "pairs": len(common)
    }  # fmt: skip
    report["l1"] = (
        float(torch.stack([(a - b).abs().mean() for a, b in pairs]).mean()) if pairs else None
    )
    sides = [[read(path) for path in side.values()] for side in found]
    report["lpips"] = if_possible(lambda: lpips(pairs), tell) if pairs else None
    report["fid"] = if_possible(lambda: fid(*sides), tell)
    return report


def read(path: Path) -> Tensor:
    """An aligned picture [1, 3, 256, 256] in [-1, 1]."""
    return to_tensor(load_photo(path), COMPARED_SIZE)


def if_possible(measure: Callable[[], float], tell: Callable[[str], None]) -> float | None:
    """What a measure gives; None where it can't be taken, which is told."""
    try:
        return measure()
    except MetricError as error:
        tell(str(error))
        return None


def _lacks(metric: str, network: str, error: Exception) -> str:
    return (
        f"{metric} can't be measured: {error}. It needs `pip install -r requirements-dev.txt`, and the weights of "
        f"{network}, which are fetched once."
    )
