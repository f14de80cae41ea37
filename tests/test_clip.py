"""OpenAI's ViT-B/32: our preprocessing and embedding calls against open_clip's own."""

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image

from clipinverter.models import clip
from clipinverter.photo.tensors import to_tensor
from tests.golden import fill
from tests.tiny import picture

PROMPTS = ["a smiling woman with long red hair", "bald", "a man, 日本, " * 60]


@pytest.fixture(scope="module")
def pair():
    """Our model and open_clip's, with the same deterministic weights."""
    reference, _, preprocess = open_clip.create_model_and_transforms(
        "ViT-B-32-quickgelu", load_weights=False
    )
    state = {
        key: torch.from_numpy(fill.standard_normal(f"public/clip/{key}", value.shape))
        / max(value[0].numel() if value.ndim > 1 else 4, 1) ** 0.5
        for key, value in reference.state_dict().items()
    }
    reference.load_state_dict(state)
    ours = clip.openai_vit_b_32()
    ours.model.load_state_dict(state, assign=True)
    return ours, reference.eval(), preprocess


@torch.no_grad()
def test_prompts(pair):
    ours, reference, _ = pair
    tokens = open_clip.get_tokenizer("ViT-B-32-quickgelu")(PROMPTS)
    expected = reference.encode_text(tokens)
    assert torch.equal(ours.embed_text(PROMPTS), expected)
    assert expected.shape == (3, 512)
    assert not torch.allclose(expected.norm(dim=1), torch.ones(3), atol=0.1), "raw, not normalised"
    assert [ours.fits(prompt) for prompt in PROMPTS] == [True, True, False]


@torch.no_grad()
@pytest.mark.parametrize(("size", "tolerance"), [(224, 1e-5), (512, 1e-3), (100, 1e-3)])
def test_pictures(pair, size, tolerance):
    """open_clip rounds to 8 bits after resizing; ours stays in floats."""
    ours, reference, preprocess = pair
    image = picture(3, (size, size))
    expected = reference.encode_image(preprocess(image)[None])
    embedded = ours.embed_image(to_tensor(image))
    distance = (embedded - expected).norm() / expected.norm()
    assert distance < tolerance
    other = ours.embed_image(to_tensor(Image.fromarray(255 - np.asarray(image))))
    assert (other - expected).norm() / expected.norm() > 5 * tolerance
