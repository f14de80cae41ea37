"""The latent mapper: one network, trained for one prompt; other prompts are refused.

Patashnik et al., "StyleCLIP" (ICCV 2021), section 5. A mapper is a file `mapper-<prompt>.safetensors` (ours) or
`mapper-<prompt>.pt` (the authors' layout) in the domain's folder `styleclip`.
"""

from __future__ import annotations

import re
from pathlib import Path

from clipinverter.cache import Cache
from clipinverter.domains import Domain
from clipinverter.methods.base import (
    MethodError,
    OnPreview,
    OnStep,
    Session,
    command,
    make_edit,
)
from clipinverter.methods.moves import LatentMove, Move, StyleMove, size_of_move
from clipinverter.models.latent_mapper import SCALE, MapperNetwork, StyleSpaceMapper, network_for
from clipinverter.request import check_prompt, check_strength
from clipinverter.results import Edit, Inversion
from clipinverter.weights.files import CheckpointError, load_weights
from clipinverter.weights.published import load_styleclip_mapper

PREFIX = "mapper-"


def slug(prompt: str) -> str:
    """The prompt as part of a file name: words in lower case, joined by hyphens."""
    return "-".join(re.findall(r"\w+", prompt.lower()))


def trained_prompts(folder: Path) -> dict[str, Path]:
    """Prompt -> file, for every mapper in `folder`."""
    files = sorted(p for p in folder.glob(f"{PREFIX}*") if p.suffix in (".safetensors", ".pt"))
    return {path.stem.removeprefix(PREFIX).replace("-", " "): path for path in files}


def folder_of(domain: Domain) -> Path:
    """The folder of the domain's mappers and channel relevance."""
    return domain.folder / "styleclip"


def load_mapper(path: Path) -> MapperNetwork:
    """Loads a mapper, frozen.

    Raises:
        CheckpointError: the file is damaged or of another kind.
    """
    official = path.suffix == ".pt"
    weights = load_styleclip_mapper(path) if official else load_weights(path)
    try:
        return network_for(weights)
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}.") from error


class LatentMapper:
    """Moves the latent by the network that was trained for the prompt.

    Args:
        session: networks and compute lock.
        folder: of the mappers; default: the domain's.
        cache_bytes: limit of the memory for moves, and the same for networks.
    """

    def __init__(
        self, session: Session, folder: Path | None = None, cache_bytes: int = 2**26
    ) -> None:
        self.session = session
        self.folder = folder or folder_of(session.models.domain)
        self._networks: Cache[MapperNetwork] = Cache(cache_bytes, _size_of_network)
        self._moves: Cache[Move] = Cache(cache_bytes, size_of_move)

    def edit(
        self,
        inversion: Inversion,
        prompt: str,
        strength: float = 1.0,
        on_step: OnStep | None = None,
        on_preview: OnPreview | None = None,
    ) -> Edit:
        """As `Editor.edit`.

        Raises:
            MethodError: there is no mapper for this prompt; the message lists the available ones.
            CheckpointError: the mapper can't be read, or belongs to another generator.
        """
        prompt, strength = check_prompt(prompt), check_strength(strength)
        path = self._find(prompt)
        version = (path, path.stat().st_mtime_ns)  # a mapper that is trained again has another key
        network, _ = self._networks.get(
            version, lambda: load_mapper(path).to(self.session.models.device)
        )
        move, cached = self._moves.get(
            (inversion.key, version), lambda: self._move(inversion, network, path, on_step)
        )
        return make_edit(
            self.session, inversion, move, ("mapper", version), prompt, strength,
            cached=cached, on_step=on_step, on_preview=on_preview,
        )  # fmt: skip

    def _find(self, prompt: str) -> Path:
        trained = trained_prompts(self.folder)
        for name, path in trained.items():
            if slug(name) == slug(prompt):
                return path
        train = command(
            self.session.models.domain, f'train-mapper "{slug(prompt).replace("-", " ")}"'
        )
        there_are = (
            f"There are mappers for: {'; '.join(trained)}." if trained else "There are none yet."
        )
        raise MethodError(
            f"No mapper is trained for this prompt. {there_are} This command trains one: {train}"
        )

    def _move(
        self, inversion: Inversion, network: MapperNetwork, path: Path, on_step: OnStep | None
    ) -> Move:
        m = self.session.models
        w_plus = inversion.w_plus.to(m.device)
        try:
            with self.session.compute(on_step) as run:
                with run("mapper"):
                    if isinstance(network, StyleSpaceMapper):
                        moves = network(m.generator.styles(w_plus))
                    else:
                        residual = network(w_plus).cpu()  # in the scale of residuals
                if isinstance(network, StyleSpaceMapper):
                    return StyleMove(tuple(SCALE * move.cpu() for move in moves), False, run.stages)
                return LatentMove(residual, None, False, run.stages)
        except RuntimeError as error:
            raise CheckpointError(
                f"{path.name} does not fit the generator of {m.domain.name!r}: it was trained for "
                "another one. Train it again."
            ) from error


def _size_of_network(network: MapperNetwork) -> int:
    return sum(parameter.nbytes for parameter in network.parameters())
