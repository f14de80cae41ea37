"""Features of MoCo v2's ResNet-50, used for the identity loss of animals and things, which ArcFace does not know.

He et al., "Momentum Contrast for Unsupervised Visual Representation Learning" (CVPR 2020). e4e and CLIPInverter do the
same (Tov et al. 2021, section 4.4).
"""

from __future__ import annotations

import pickle
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipinverter.weights.files import CheckpointError

PREFIX = "module.encoder_q."  # of the network, beside its momentum copy and the queue
SIZE = 224


class MoCo(nn.Module):
    """ResNet-50 without its last layer."""

    def __init__(self) -> None:
        super().__init__()
        from torchvision.models import resnet50

        self.net = resnet50()
        self.net.fc = nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        """Images [B, 3, S, S] in [-1, 1] -> unit features [B, 2048]. As in e4e, images are resized to 224 px by nearest
        neighbours, and not normalised by ImageNet's mean and deviation."""
        return F.normalize(self.net(F.interpolate(images, size=SIZE)), dim=1)


def load(path: Path) -> MoCo:
    """The network of MoCo's published file (`moco_v2_800ep_pretrain.pth.tar`), frozen.

    Raises:
        CheckpointError: the file is missing, damaged or something else.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        weights = {
            key.removeprefix(PREFIX): value
            for key, value in content["state_dict"].items()
            if key.startswith(PREFIX) and not key.startswith(f"{PREFIX}fc.")
        }
        net = MoCo()
        net.net.load_state_dict(weights)
    except FileNotFoundError:
        raise CheckpointError(f"There is no file {path}.") from None
    except (
        RuntimeError,
        pickle.UnpicklingError,
        KeyError,
        TypeError,
        AttributeError,
        OSError,
        EOFError,
    ) as error:
        raise CheckpointError(
            f"{path} is damaged or does not hold MoCo's ResNet-50. "
            "Use moco_v2_800ep_pretrain.pth.tar of github.com/facebookresearch/moco."
        ) from error
    return net.eval().requires_grad_(False)
