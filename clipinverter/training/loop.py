"""The loop that every stage shares: resumable to the step, with a progress bar and a log."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from clipinverter.weights.load import computes_in_bfloat16

SAVE_EVERY = 180.0  # seconds


class Stateful(Protocol):
    """What a checkpoint holds: modules, optimisers, averages."""

    def state_dict(self) -> Mapping[str, Any]: ...
    def load_state_dict(self, state: Mapping[str, Any]) -> Any: ...


Step = Callable[[int, np.random.Generator], Mapping[str, float]]


@dataclass(frozen=True)
class Stage:
    """One training run.

    name: of the checkpoint and the log in the run folder.
    steps: number of steps in all.
    state: everything that must survive a restart, by name.
    step: does step i with its own random generator; returns the numbers to log.
    """

    name: str
    steps: int
    state: Mapping[str, Stateful]
    step: Step


def run(stage: Stage, folder: Path, *, resume: bool, save_every: float = SAVE_EVERY) -> None:
    """Trains `stage`, saving to `folder/<name>.pt` every `save_every` seconds and at the end.

    Each step draws its random numbers from its own seed, so a run that was killed and resumed does what an
    uninterrupted one does. Without `resume` an earlier checkpoint is replaced.
    """
    from tqdm import tqdm

    path = folder / f"{stage.name}.pt"
    start = restore(stage, path) if resume and path.exists() else 0
    folder.mkdir(parents=True, exist_ok=True)
    if not start:
        (folder / f"{stage.name}.jsonl").unlink(missing_ok=True)
    saved = time.monotonic()
    averages: dict[str, float] = {}
    with tqdm(
        total=stage.steps, initial=start, desc=stage.name, mininterval=10, dynamic_ncols=True
    ) as bar:
        for i in range(start, stage.steps):
            torch.manual_seed(i)
            numbers = stage.step(i, np.random.default_rng([20231, i]))
            for key, value in numbers.items():
                averages[key] = 0.98 * averages.get(key, value) + 0.02 * value
            bar.set_postfix({k: f"{v:.3f}" for k, v in averages.items()}, refresh=False)
            bar.update()
            if (i + 1) % 100 == 0:
                _log(folder / f"{stage.name}.jsonl", i + 1, averages)
            if time.monotonic() - saved > save_every:
                save(stage, path, i + 1)
                saved = time.monotonic()
    save(stage, path, stage.steps)


def save(stage: Stage, path: Path, step: int) -> None:
    """Writes the whole state; a kill in between leaves the previous file."""
    state = {name: part.state_dict() for name, part in stage.state.items()}
    write(path, {"step": step, **state})


def write(path: Path, content: Any) -> None:
    """`torch.save` that is whole or absent."""
    partial = path.with_suffix(".partial")
    torch.save(content, partial)
    os.replace(partial, path)


def restore(stage: Stage, path: Path) -> int:
    """Loads a state that `save` wrote; returns the number of steps done."""
    state = torch.load(path, map_location="cpu", weights_only=True)
    for name, part in stage.state.items():
        part.load_state_dict(state[name])
    return int(state["step"])


def _log(path: Path, step: int, numbers: Mapping[str, float]) -> None:
    with path.open("a") as file:
        file.write(
            json.dumps({"step": step, **{k: round(v, 5) for k, v in numbers.items()}}) + "\n"
        )


class Average(nn.Module):
    """Exponential moving average of a module's parameters; its buffers are copied."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        super().__init__()
        import copy

        self.module = copy.deepcopy(module).requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """Follows `module`, faster during the first steps."""
        decay = min(self.decay, (1 + step) / (10 + step))
        own = list(self.module.parameters())
        torch._foreach_lerp_(own, list(module.parameters()), 1 - decay)
        for mine, theirs in zip(self.module.buffers(), module.buffers(), strict=True):
            mine.copy_(theirs)


def stage_of(
    name: str,
    steps: int,
    net: nn.Module,
    optimizer: torch.optim.Optimizer,
    loss_of: Callable[[np.random.Generator], tuple[Tensor, Mapping[str, float]]],
) -> Stage:
    """The usual stage: `net` follows the gradient of `loss_of` (a loss, and numbers to log), at a rate that falls like
    a cosine, with gradients clipped to norm 1; `state["average"]` holds its moving average."""
    average = Average(net, 0.99)
    learning = [p for group in optimizer.param_groups for p in group["params"]]

    def step(i: int, rng: np.random.Generator) -> Mapping[str, float]:
        set_rate(optimizer, cosine(i, steps, floor=0.01))
        loss, numbers = loss_of(rng)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learning, 1.0)
        optimizer.step()
        average.update(net, i)
        return numbers

    return Stage(name, steps, {"model": net, "optimizer": optimizer, "average": average}, step)


def cosine(step: int, steps: int, warmup: int = 100, floor: float = 0.05) -> float:
    """Learning-rate factor: linear warm-up, then half a cosine down to `floor`."""
    if step < warmup:
        return (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    return floor + (1 - floor) * 0.5 * (1 + float(np.cos(np.pi * min(1.0, progress))))


def set_rate(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Scales every group's initial learning rate by `factor`."""
    for group in optimizer.param_groups:
        group["lr"] = factor * group.setdefault("initial_lr", group["lr"])


def bfloat16() -> torch.autocast:
    """Autocast to bfloat16 where the CPU computes in it, float32 elsewhere."""
    supported = torch.cuda.is_available() or computes_in_bfloat16()
    return torch.autocast(
        "cuda" if torch.cuda.is_available() else "cpu", torch.bfloat16, enabled=supported
    )
