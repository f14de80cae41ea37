"""The training loop that all stages share: resumable to the step, with a progress bar and a log."""

from __future__ import annotations

import copy
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from clipinverter.errors import UserError
from clipinverter.weights.load import computes_in_bfloat16

if TYPE_CHECKING:
    from tqdm import tqdm

SAVE_EVERY = 180.0  # seconds


class DiskError(UserError):
    """A state of training can't be written; the message says which and why."""


class Stateful(Protocol):
    """What a checkpoint holds: modules, optimisers, averages."""

    def state_dict(self) -> Mapping[str, Any]: ...
    def load_state_dict(self, state: Mapping[str, Any]) -> Any: ...


Step = Callable[[int, np.random.Generator], Mapping[str, float]]
Loss = tuple[Tensor, Mapping[str, float]]  # and numbers to log


@dataclass(frozen=True)
class TrainingRun:
    """One training run.

    name: of the checkpoint and the log in the run folder.
    steps: number of steps in all; None where `over` decides.
    state: everything that must survive a restart, by name.
    step: does step i with its own random generator; returns the numbers to log.
    over: asked before every step whether the run ends here.
    """

    name: str
    steps: int | None
    state: Mapping[str, Stateful]
    step: Step
    over: Callable[[], bool] = lambda: False


class Averages:
    """Moving averages of the logged numbers."""

    def __init__(self) -> None:
        self.values: dict[str, float] = {}

    def add(self, numbers: Mapping[str, float]) -> None:
        """Takes the numbers of one step."""
        for key, value in numbers.items():
            self.values[key] = 0.98 * self.values.get(key, value) + 0.02 * value

    def show(self, bar: tqdm) -> None:
        """Advances a progress bar by one step and shows the averages on it."""
        bar.set_postfix({k: f"{v:.3f}" for k, v in self.values.items()}, refresh=False)
        bar.update()


def run(
    training: TrainingRun, folder: Path, *, resume: bool, save_every: float = SAVE_EVERY
) -> None:
    """Trains, saving to `folder/<name>.pt` every `save_every` seconds and at the end.

    Each step draws its random numbers from its own seed, so a run that was killed and resumed gives the same result as
    an uninterrupted one. Without `resume` an earlier checkpoint is replaced.
    """
    from tqdm import tqdm

    name, steps = training.name, training.steps
    path = folder / f"{name}.pt"
    done = restore(training, path) if resume and path.exists() else 0
    folder.mkdir(parents=True, exist_ok=True)
    if not done:
        (folder / f"{name}.jsonl").unlink(missing_ok=True)
    saved = time.monotonic()
    averages = Averages()
    with tqdm(total=steps, initial=done, desc=name, mininterval=10, dynamic_ncols=True) as bar:
        while (steps is None or done < steps) and not training.over():
            torch.manual_seed(done)
            averages.add(training.step(done, np.random.default_rng([20231, done])))
            done += 1
            averages.show(bar)
            if done % 100 == 0:
                _log(folder / f"{name}.jsonl", done, averages.values)
            if time.monotonic() - saved > save_every:
                save(training, path, done)
                saved = time.monotonic()
    save(training, path, done)


def save(training: TrainingRun, path: Path, step: int) -> None:
    """Writes the whole state; if it is killed meanwhile, the previous file stays."""
    state = {name: part.state_dict() for name, part in training.state.items()}
    write(path, {"step": step, **state})


def write(path: Path, content: Any) -> None:
    """`torch.save` that writes the whole file or none. Raises DiskError."""
    partial = path.with_suffix(".partial")
    with writing(path, partial):
        torch.save(content, partial)
        os.replace(partial, path)


@contextmanager
def writing(path: Path, partial: Path) -> Iterator[None]:
    """Of what is to replace `path` and fails on the way, nothing is left.

    Raises:
        DiskError: it can't be written; what was at `path` is still there.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:  # PyTorch's own writer raises the latter
        if partial.is_dir():
            shutil.rmtree(partial, ignore_errors=True)
        else:
            partial.unlink(missing_ok=True)
        first = (str(error).splitlines() or ["?"])[0]
        reason = getattr(error, "strerror", None) or f"the disk is probably full: {first}"
        raise DiskError(
            f"{path} could not be written ({reason}). Make room there and run the same command "
            "with --resume: it goes on from the state before."
        ) from error


def restore(training: TrainingRun, path: Path) -> int:
    """Loads a state that `save` wrote; returns the number of steps done."""
    state = torch.load(path, map_location="cpu", weights_only=True)
    for name, part in training.state.items():
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


def gradient_run(
    name: str,
    steps: int,
    net: nn.Module,
    optimizer: torch.optim.Optimizer,
    loss_of: Callable[[np.random.Generator], Loss],
    *,
    key: str = "model",
    warmup: int = 100,
    floor: float = 0.01,
    max_norm: float | None = 1.0,
    averaged: bool = True,
) -> TrainingRun:
    """A run that minimises a loss: the learning rate follows `cosine`, and gradients are clipped.

    Args:
        net: what learns, kept as `state[key]`.
        loss_of: the loss of a step and the numbers to log.
        warmup, floor: see `cosine`.
        max_norm: to which gradients are clipped; None: not at all.
        averaged: whether `state["average"]` is to hold the moving average of `net`.
    """
    average = Average(net, 0.99) if averaged else None
    learning = [p for group in optimizer.param_groups for p in group["params"]]

    def step(i: int, rng: np.random.Generator) -> Mapping[str, float]:
        set_rate(optimizer, cosine(i, steps, warmup, floor))
        loss, numbers = loss_of(rng)
        optimizer.zero_grad()
        loss.backward()
        if max_norm is not None:
            torch.nn.utils.clip_grad_norm_(learning, max_norm)
        optimizer.step()
        if average is not None:
            average.update(net, i)
        return numbers

    state: dict[str, Stateful] = {key: net, "optimizer": optimizer}
    if average is not None:
        state["average"] = average
    return TrainingRun(name, steps, state, step)


def cosine(step: int, steps: int, warmup: int = 100, floor: float = 0.05) -> float:
    """Factor of the learning rate: linear warm-up, then half a cosine down to `floor`."""
    if step < warmup:
        return (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    return floor + (1 - floor) * 0.5 * (1 + float(np.cos(np.pi * min(1.0, progress))))


def set_rate(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Scales every group's initial learning rate by `factor`."""
    for group in optimizer.param_groups:
        group["lr"] = factor * group.setdefault("initial_lr", group["lr"])


def bfloat16() -> torch.autocast:
    """Autocast to bfloat16 where the device computes in it, float32 elsewhere."""
    supported = torch.cuda.is_available() or computes_in_bfloat16()
    return torch.autocast(
        "cuda" if torch.cuda.is_available() else "cpu", torch.bfloat16, enabled=supported
    )
