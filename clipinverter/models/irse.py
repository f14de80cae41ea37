"""IR-SE: the residual network with squeeze-and-excitation of ArcFace, and face identity features.

Deng et al., "ArcFace: Additive Angular Margin Loss for Deep Face Recognition" (CVPR 2019), and
Hu et al., "Squeeze-and-Excitation Networks" (CVPR 2018). e4e's encoder shares the body.
"""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from clipinverter.models.ops import channels_last

WIDTHS = (64, 128, 256, 512)
UNITS = (3, 4, 14, 3)  # 24 blocks: IR-SE-50
SMALL = {"widths": (16, 32, 64, 128), "units": (2, 2, 2, 2), "embedding_dim": 256}
"""The identity network of the embedded domain, as arguments of `ArcFace`."""


class SqueezeExcitation(nn.Module):
    """Multiplies every channel by a function of all channels' means."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, channels // reduction, 1, bias=False)
        self.fc2 = nn.Conv2d(channels // reduction, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> the same shape."""
        means = x.mean(dim=(2, 3), keepdim=True)
        return x * self.fc2(F.relu(self.fc1(means))).sigmoid()


class Block(nn.Module):
    """IR-SE residual block."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        if in_channels == channels:
            self.shortcut_layer = nn.MaxPool2d(1, stride)  # plain sub-sampling
        else:
            self.shortcut_layer = nn.Sequential(
                nn.Conv2d(in_channels, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )
        self.res_layer = nn.Sequential(
            nn.BatchNorm2d(in_channels),
            nn.Conv2d(in_channels, channels, 3, padding=1, bias=False),
            nn.PReLU(channels),
            nn.Conv2d(channels, channels, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            SqueezeExcitation(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """[B, in_channels, H, W] -> [B, channels, H/stride, W/stride]."""
        return self.shortcut_layer(x) + self.res_layer(x)


def input_layer(channels: int) -> nn.Sequential:
    """The layer from images [B, 3, H, W] to [B, channels, H, W]."""
    return nn.Sequential(
        nn.Conv2d(3, channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(channels),
        nn.PReLU(channels),
    )


def body(widths: Sequence[int] = WIDTHS, units: Sequence[int] = UNITS) -> nn.Sequential:
    """The blocks of all stages; the first block of each stage halves the size and sets the width."""
    blocks = []
    before = widths[0]
    for width, count in zip(widths, units, strict=True):
        for unit in range(count):
            blocks.append(Block(before, width, stride=2 if unit == 0 else 1))
            before = width
    return nn.Sequential(*blocks)


class ArcFace(nn.Module):
    """Identity network on face crops of 112 px. The defaults are the official IR-SE-50.

    Args:
        widths, units: channels and number of blocks of each stage; widths multiples of 16.
        embedding_dim: width of the embedding.
    """

    def __init__(
        self,
        widths: Sequence[int] = WIDTHS,
        units: Sequence[int] = UNITS,
        embedding_dim: int = 512,
    ) -> None:
        super().__init__()
        self.input_layer = input_layer(widths[0])
        self.output_layer = nn.Sequential(
            nn.BatchNorm2d(widths[-1]),
            nn.Dropout(0.6),
            nn.Flatten(),
            nn.Linear(widths[-1] * 7 * 7, embedding_dim),
            nn.BatchNorm1d(embedding_dim),
        )
        self.body = body(widths, units)

    def forward(self, crops: Tensor) -> Tensor:
        """Crops [B, 3, 112, 112] in [-1, 1] -> embeddings [B, embedding_dim], not normalised."""
        return self.output_layer(self.body(self.input_layer(channels_last(crops))))


def face_crop(images: Tensor) -> Tensor:
    """Aligned images [B, 3, S, S] -> crops of the inner face, [B, 3, 112, 112]."""
    if images.shape[2] != 256:
        images = F.adaptive_avg_pool2d(images, 256)
    return F.adaptive_avg_pool2d(images[:, :, 35:223, 32:220], 112)


def face_features(net: ArcFace, images: Tensor) -> Tensor:
    """Identity of aligned images [B, 3, S, S] in [-1, 1]: unit vectors [B, embedding_dim].

    The inner product of two of them is the similarity of the faces, 1 for the same.
    """
    return F.normalize(net(face_crop(images)), dim=1)
