"""Folders of weights, one safetensors file for each part: those of a domain, and those of a training run.

Both are read, checked and loaded in the same way. They differ in where they are, and in what the message says when a
file is missing or does not fit.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from clipinverter.domains import Domain
from clipinverter.models.adapter import LEVELS, Adapter
from clipinverter.models.clip import TextImageModel
from clipinverter.models.encoder import Encoder
from clipinverter.models.irse import ArcFace
from clipinverter.models.remapper import PARAMETERS as REMAPPER
from clipinverter.models.remapper import RemapperGenerator
from clipinverter.weights.build import build_identity, build_networks, build_text_image
from clipinverter.weights.files import (
    CheckpointError,
    StateDict,
    load_weights,
    notes_of,
    save_weights,
)

Network = TypeVar("Network", bound=nn.Module)

FINISHED_PARTS = ("remapper", "editing-encoder", "adapter", "clip", "identity")
"""Parts of a finished training run, which `export` copies."""

SERVED_AS = {"remapper": "generator", "editing-encoder": "encoder"}
"""Names in the domain's folder of parts that a later stage trained further."""


class WeightFolder:
    """A folder of weights and the networks that they belong to. Every network comes frozen and in eval mode.

    All methods raise CheckpointError where a file is missing, damaged or does not fit.

    Args:
        domain: whose networks.
        path: the folder.
    """

    build_device = "meta"  # initial weights would only cost time and memory

    def __init__(self, domain: Domain, path: Path) -> None:
        self.domain = domain
        self.path = path

    def file(self, part: str) -> Path:
        """The file of a part."""
        return self.path / f"{part}.safetensors"

    def check(self, parts: Collection[str]) -> None:
        """Raises CheckpointError unless all parts have a file."""
        missing = [part for part in parts if not self.file(part).is_file()]
        if missing:
            raise CheckpointError(self.missing_message(missing))

    def read(self, part: str) -> StateDict:
        """The tensors of a part, floating-point ones in float32."""
        self.check((part,))
        return load_weights(self.file(part), self.digest(part))

    def fill(self, network: Network, part: str, weights: StateDict | None = None) -> Network:
        """Puts weights (default: those in the file of the part) into a network."""
        weights = self.read(part) if weights is None else weights
        try:
            network.load_state_dict(weights, assign=True)
        except RuntimeError as error:
            raise CheckpointError(self.misfit_message(part)) from error
        return network.eval().requires_grad_(False)

    def generator(self, part: str = "generator") -> RemapperGenerator:
        """The generator with its trained remapper."""
        with torch.device(self.build_device):
            network = build_networks(self.domain)[0]
        return self.fill(network, part)

    def generator_with_new_remapper(self) -> RemapperGenerator:
        """The generator with a remapper that has not been trained: it starts as the authors' does."""
        network = build_networks(self.domain)[0]
        new = {k: v for k, v in network.state_dict().items() if k.startswith(REMAPPER)}
        return self.fill(network, "generator", self.read("generator") | new)

    def encoder(self, part: str = "encoder") -> tuple[Encoder, Tensor]:
        """The encoder, and latent_avg [n_latent, style_dim]."""
        weights = self.read(part)
        latent_avg = weights.pop("latent_avg", None)
        with torch.device(self.build_device):
            generator, network, _ = build_networks(self.domain)
        if latent_avg is None or latent_avg.shape != (generator.n_latent, self.domain.style_dim):
            raise CheckpointError(self.misfit_message(part))
        return self.fill(network, part, weights), latent_avg

    def adapter(self) -> Adapter:
        """The adapter, with the levels that the file has weights for."""
        weights = self.read("adapter")
        levels = {key.split("_mapping.")[0] for key in weights}
        written = notes_of(self.file("adapter")).get("levels")  # some files do without one
        if levels != set(written.split() if written else LEVELS):
            raise CheckpointError(self.misfit_message("adapter"))
        with torch.device(self.build_device):
            network = build_networks(self.domain, levels)[2]
        return self.fill(network, "adapter", weights)

    def text_image(self, device: torch.device | str = "cpu") -> TextImageModel:
        """The text-image model on a device."""
        text_image = build_text_image(self.domain)
        self.fill(text_image.model, "clip").to(device)
        return text_image

    def identity(self, device: torch.device | str = "cpu") -> ArcFace:
        """The identity network on a device."""
        return self.fill(build_identity(self.domain), "identity").to(device)

    def digest(self, part: str) -> str | None:
        """The sha256 that the file of a part must have; None where any content is accepted."""
        return None

    def missing_message(self, parts: Collection[str]) -> str:
        raise NotImplementedError

    def misfit_message(self, part: str) -> str:
        raise NotImplementedError


class DomainWeights(WeightFolder):
    """The weights that a domain edits with."""

    def __init__(self, domain: Domain) -> None:
        super().__init__(domain, domain.folder)

    def digest(self, part: str) -> str | None:
        return self.domain.files.get(f"{part}.safetensors") or None

    def missing_message(self, parts: Collection[str]) -> str:
        names = ", ".join(f"{part}.safetensors" for part in parts)
        return (
            f"The weights of the model {self.domain.name!r} are not there: the folder "
            f"checkpoints/{self.domain.name} lacks {names}.{self._remedy()}"
        )

    def misfit_message(self, part: str) -> str:
        return (
            f"The weights in {self.file(part)} do not fit the networks of "
            f"{self.domain.name!r}.{self._remedy() or ' Restore the file from the repository.'}"
        )

    def _remedy(self) -> str:
        """How the files are made, for a domain that does not come with the project."""
        if self.domain.name == "faces":
            return f" Run `python -m clipinverter download {self.domain.name}`."
        return "" if self.domain.files else " docs/your-own-data.md says how they are made."


class RunWeights(WeightFolder):
    """The weights that the stages of a training run write and read, in fp16."""

    # Building on the CPU draws initial weights, and so sets the random numbers that the next network starts from.
    build_device = "cpu"

    def write(self, part: str, weights: Mapping[str, Tensor]) -> None:
        """Saves the weights of a part."""
        save_weights(self.file(part), weights)

    def write_encoder(self, part: str, network: Encoder, latent_avg: Tensor) -> None:
        """Saves an encoder with latent_avg [n_latent, style_dim]."""
        self.write(part, {**network.state_dict(), "latent_avg": latent_avg})

    def export(self, target: Path, parts: Collection[str] = FINISHED_PARTS) -> None:
        """Copies finished parts to the folder of a domain; copies nothing if one is missing."""
        self.check(parts)
        target.mkdir(parents=True, exist_ok=True)
        for part in parts:
            shutil.copyfile(self.file(part), target / f"{SERVED_AS.get(part, part)}.safetensors")

    def missing_message(self, parts: Collection[str]) -> str:
        part = next(iter(parts))
        return f"{self.file(part)} is missing: run {_command(part)} first."

    def misfit_message(self, part: str) -> str:
        return (
            f"{self.file(part)} is not finished, or was trained for other networks than those of "
            f"{self.domain.name!r}: run {_command(part)} --resume first."
        )


def _command(part: str) -> str:
    """The command that trains a part."""
    stage = "adapter" if part == "editing-encoder" else part
    return f"python -m clipinverter.training {stage}"
