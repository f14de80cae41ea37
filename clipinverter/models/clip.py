"""CLIP through open_clip: maps prompts and images to embeddings in one space.

The embedded domain has its own small model (`SMALL`), the official domains use OpenAI's ViT-B/32. Embeddings are raw:
CLIPAdapter and CLIPRemapper take the output of the text tower without normalisation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

if TYPE_CHECKING:
    from open_clip import SimpleTokenizer

SMALL = {
    "embed_dim": 256,
    "vision_cfg": {
        "timm_model_name": "mobilenetv2_100",
        "timm_model_pretrained": False,
        "timm_pool": "avg",
        "timm_proj": "linear",
        "image_size": 128,
    },
    "text_cfg": {"context_length": 32, "vocab_size": 49408, "width": 128, "heads": 4, "layers": 4},
}
"""The embedded text-image model: MobileNetV2 and a four-layer text transformer on the standard CLIP tokens."""

OPENAI = "ViT-B-32-quickgelu"  # open_clip's name; OpenAI trained with QuickGELU
_OPENAI_MEAN = (0.48145466, 0.4578275, 0.40821073)
_OPENAI_STD = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class TextImageModel:
    """A CLIP model with its tokenizer and the preprocessing of images.

    Attributes:
        image_size: side of the image tower's input in pixels.
        mean, std: colour statistics for pixels in [0, 1]; None if the tower takes pixels in [-1, 1].
    """

    model: nn.Module
    tokenizer: SimpleTokenizer
    image_size: int
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None

    @property
    def context_length(self) -> int:
        """The maximum number of tokens, including start and end token; longer prompts are truncated."""
        return self.tokenizer.context_length

    def fits(self, prompt: str) -> bool:
        """Whether the prompt is read as a whole, i.e. is not truncated."""
        return len(self.tokenizer.encode(prompt)) <= self.context_length - 2

    def embed_text(self, prompts: Sequence[str]) -> Tensor:
        """Prompts -> raw text embeddings [N, text_dim] on the model's device."""
        tokens = self.tokenizer(list(prompts))
        return self.model.encode_text(tokens.to(_device(self.model)))

    def embed_image(self, images: Tensor) -> Tensor:
        """Images [N, 3, H, W] in [-1, 1] -> raw image embeddings [N, text_dim]."""
        if images.shape[-1] != self.image_size:
            images = F.interpolate(
                images, size=self.image_size, mode="bicubic", antialias=True, align_corners=False
            )
        if self.mean is not None:
            mean, std = images.new_tensor([self.mean, self.std]).view(2, 1, 3, 1, 1)
            images = (images * 0.5 + 0.5 - mean) / std
        return self.model.encode_image(images)


def _device(model: nn.Module) -> torch.device:
    return next(model.parameters()).device


def build(config: dict) -> TextImageModel:
    """An open_clip model of the given configuration, with random weights."""
    from open_clip import CLIP, SimpleTokenizer

    model = CLIP(config["embed_dim"], config["vision_cfg"], config["text_cfg"])
    tokenizer = SimpleTokenizer(context_length=config["text_cfg"]["context_length"])
    return TextImageModel(model.eval(), tokenizer, config["vision_cfg"]["image_size"])


def openai_vit_b_32() -> TextImageModel:
    """OpenAI's ViT-B/32 without trained weights: the model that the authors' checkpoints use."""
    from open_clip import CLIP, get_model_config, get_tokenizer

    model = CLIP(**get_model_config(OPENAI))
    return TextImageModel(model.eval(), get_tokenizer(OPENAI), 224, _OPENAI_MEAN, _OPENAI_STD)
