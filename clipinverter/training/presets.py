"""Lengths, batch sizes, learning rates and loss weights of all training stages.

A stage is named as its state in the run folder: `encoder-head.pt` belongs to "encoder-head". `--scale` multiplies the
number of steps. What the authors of the paper use is beside it where it differs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class LossWeights:
    """Weights of the losses that edits are trained with (paper, section 3.4).

    `unremapped` weights the L2 and LPIPS distances to the picture without remapping, beside those to the original; both
    are then multiplied by `l2` and `lpips`. `counterfactual` is not in the paper, where it is 0: the distance to the
    picture that shows the true edit, which is known for rendered scenes.
    """

    identity: float
    l2: float
    lpips: float
    clip: float
    w_norm: float
    cycle: float = 1.0
    unremapped: float = 0.0
    counterfactual: float = 0.0


@dataclass(frozen=True)
class Preset:
    """One stage: number of steps, samples in a batch, and the highest learning rate."""

    steps: int
    batch: int
    rate: float

    def scaled_steps(self, scale: float) -> int:
        """The number of steps times `scale`, at least 1."""
        return max(1, int(self.steps * scale))


@dataclass(frozen=True)
class EditPreset(Preset):
    """A stage that trains with the losses of the paper."""

    losses: LossWeights


STAGE_ONE = LossWeights(identity=0.1, l2=1.0, lpips=0.6, clip=1.0, w_norm=0.005)
STAGE_TWO = LossWeights(identity=0.15, l2=0.15, lpips=0.15, clip=1.75, w_norm=0.0, unremapped=0.35)
"""The published weights. The authors' second stage logs the w-norm and does not add it."""

PAPER: Mapping[str, EditPreset] = {
    "adapter": EditPreset(200_000, 8, 5e-4, STAGE_ONE),
    "remapper": EditPreset(20_000, 8, 1.5e-4, STAGE_TWO),
}
"""The authors' two stages, which training on pictures with captions follows."""

# The portraits. The rates of the encoder's and the adapter's stages multiply ENCODER_RATES.
PRESETS: Mapping[str, Preset] = {
    "clip-text": Preset(1_800, 128, 1e-3),
    "clip-image": Preset(500, 64, 1e-3),
    "mapping": Preset(4_000, 256, 5.0),  # its layers multiply the rate by 0.01
    "generator-64": Preset(4_000, 16, 3e-3),
    "generator-128": Preset(7_500, 8, 2e-3),
    "generator-256": Preset(5_700, 8, 2e-3),
    "identity": Preset(600, 32, 2e-3),
    "encoder-head": Preset(4_000, 64, 1.0),
    "encoder-base": Preset(700, 32, 0.3),
    "encoder": Preset(1_600, 8, 0.3),
    "adapter-base": Preset(6_000, 128, 1.0),
    "adapter-rows": Preset(700, 32, 0.15),
    "adapter": EditPreset(60, 8, 0.3, replace(STAGE_ONE, counterfactual=4.0)),  # see PAPER
    "remapper": EditPreset(300, 8, 1e-3, replace(STAGE_TWO, counterfactual=4.0)),  # see PAPER
    "words-absences": Preset(250, 51, 0.2),
    "words": Preset(10_000, 80, 1.5e-3),
    "judge": Preset(3_950, 32, 1e-3),
    "generator-adapt": Preset(10_000, 8, 2e-3),  # finetune-generator
}
MISMATCH = 0.75  # share of batches whose prompts ask for a change (the paper's p)


@dataclass(frozen=True)
class EncoderRates:
    """Learning rates of the encoder's parts. Its linear layers have an equalised learning rate, which multiplies
    theirs by 0.1."""

    trunk: float = 3e-4
    linear: float = 4e-2
    rest: float = 1e-3


@dataclass(frozen=True)
class GeneratorLosses:
    """Weights beside that of L1, which is 1. eyes: of L1 and perceptual distance of the part around the eyes."""

    perceptual: float = 0.6
    eyes: float = 0.5
    labels: float = 0.12


@dataclass(frozen=True)
class EncoderLosses:
    w: float = 1.0
    l2: float = 6.0
    perceptual: float = 0.6
    identity: float = 0.1
    delta: float = 2e-3


@dataclass(frozen=True)
class AdapterLosses:
    """kept: what the style heads predicted before, as squared error relative to its own square. short: residuals that
    are too short, see `portraits.adapter.distance`. shift: the known residual, beside the losses of the paper."""

    kept: float = 2.0
    short: float = 3.0
    shift: float = 2.0


@dataclass(frozen=True)
class PhotographsPreset:
    """Training on photographs, whose length is given in minutes.

    photos, encoded_renders, exact_renders: of eight pictures in a batch; renders are drawn from the encoder's latent or
    from their exact w.
    prompts: how many of the photographs get a prompt.
    linear_rate: of the heads' linear layers, which have an equalised learning rate.
    full_size: share of the steps at full size at the start and at the end; the others draw half of it.
    perceptual, eyes, delta, edits: loss weights beside L1.
    texts: prompts to choose from.
    """

    photos: int = 5
    encoded_renders: int = 1
    exact_renders: int = 2
    prompts: int = 3
    generator_rate: float = 2e-3
    heads_rate: float = 3e-4
    linear_rate: float = 1.2e-2
    warm_up: int = 20
    full_size: tuple[float, float] = (0.25, 0.75)
    perceptual: float = 1.0
    eyes: float = 0.5
    delta: float = 2e-3
    edits: float = 5.0
    texts: int = 2048


PHOTOGRAPHS = PhotographsPreset()
ENCODER_RATES = EncoderRates()
MODULATION_RATE = 5.0  # the generator's layers that read w learn so many times faster
GENERATOR_LOSSES = GeneratorLosses()
ENCODER_LOSSES = EncoderLosses()
ADAPTER_LOSSES = AdapterLosses()
JUDGE_PERSON = 2.0  # the judge's loss of the person, beside that of the attributes
R1 = 0.0002  # times pixels, over the batch (Karras et al., "Training GANs with Limited Data")
