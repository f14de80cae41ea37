"""CLIPAdapter and CLIPRemapper from a folder of pictures with captions, on one device or many.

The authors' objective, weights and rates. Their optimiser, Ranger, is RAdam with a look-ahead; here it is RAdam alone.
Processes, precision and accumulation of gradients are what `accelerate launch` says.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.utils.data import DataLoader, default_collate

from clipinverter.domains import Domain
from clipinverter.photo import contact_sheet
from clipinverter.photo.contact_sheet import Cell
from clipinverter.photo.tensors import to_pil
from clipinverter.training import pictures
from clipinverter.training.captioned.learner import SEEN, Learner, Texts, load_teachers
from clipinverter.training.objective import STAGE_ONE, STAGE_TWO, Weights
from clipinverter.weights import runs
from clipinverter.weights.files import save_weights
from clipinverter.weights.load import build_networks

if TYPE_CHECKING:
    from accelerate import Accelerator

BATCH = 8  # pictures a process and pass
LOG_EVERY, SHOW_EVERY, SAVE_EVERY = 50, 500, 1000  # steps
SHOWN = 4  # pictures in a strip, the same ones every time


@dataclass(frozen=True)
class Course:
    """How long, how fast and by what a stage learns."""

    steps: int
    rate: float
    scales: Weights


COURSES: Mapping[str, Course] = {
    "adapter": Course(200_000, 5e-4, STAGE_ONE),
    "remapper": Course(20_000, 1.5e-4, STAGE_TWO),
}
"""The authors' two stages."""


def train(
    stage: str,
    domain: Domain,
    images: Path,
    captions: Path,
    folder: Path,
    *,
    resume: bool,
    moco: Path | None = None,
    steps: int | None = None,
    batch: int = BATCH,
) -> None:
    """Trains "adapter" or "remapper" and writes `<stage>.safetensors` to `folder`, which all processes share.

    States are kept there too, and a log for TensorBoard in `logs`. With `resume` the last state goes on; steps that
    had passed since are repeated on the same pictures. Without it an earlier run is replaced.

    Args:
        moco: see `learner.load_teachers`.
        steps: of the optimiser, in all (default: the authors').
        batch: pictures in each process and pass; accumulated passes and processes multiply it.

    Raises:
        DataError, CheckpointError: with a sentence.
    """
    course = COURSES[stage]
    steps = steps or course.steps
    found = pictures.load(images, captions, min(domain.image_size, SEEN))
    from accelerate import Accelerator

    accelerator = Accelerator(log_with="tensorboard", project_dir=folder / "logs")
    torch.manual_seed(0)  # initial weights
    learner = make_learner(stage, domain, folder, course.scales, accelerator.device, moco)
    optimizer = torch.optim.RAdam(learner.parameters(), lr=course.rate, betas=(0.95, 0.999))
    if accelerator.is_main_process and not resume:
        clear(folder, stage)
    accelerator.wait_for_everyone()
    start, state = last_state(folder, stage)
    samples = batch * accelerator.num_processes * accelerator.gradient_accumulation_steps
    loader = DataLoader(
        found,
        batch,
        sampler=range(start * samples, max(start, steps) * samples),
        num_workers=0 if accelerator.device.type == "cpu" else 4,
    )
    network, optimizer, loader = accelerator.prepare(learner, optimizer, loader)
    if state is not None:
        accelerator.load_state(str(state))
    options = {"tensorboard": {"purge_step": start}}
    accelerator.init_trackers(stage, init_kwargs=options)
    _loop(accelerator, stage, folder, network, learner, optimizer, loader, found, start, steps)
    if accelerator.is_main_process:
        teachers, adapter = learner.fixed
        result = teachers.generator if stage == "remapper" else adapter
        path = folder / f"{stage}.safetensors"
        save_weights(path, result.state_dict(), half=False)
    accelerator.end_training()


def make_learner(
    stage: str,
    domain: Domain,
    folder: Path,
    scales: Weights,
    device: torch.device,
    moco: Path | None,
) -> Learner:
    """What the stage trains, as it is at the start; stage two takes the adapter that stage one left in `folder`."""
    teachers = load_teachers(domain, device, moco)
    remaps = stage == "remapper"
    adapter = runs.adapter(folder, domain) if remaps else build_networks(domain)[2]
    return Learner(teachers, adapter.to(device), scales, remaps=remaps)


def _loop(
    accelerator: Accelerator,
    stage: str,
    folder: Path,
    network: torch.nn.Module,
    learner: Learner,
    optimizer: torch.optim.Optimizer,
    loader: DataLoader,
    found: pictures.CaptionedPictures,
    step: int,
    steps: int,
) -> None:
    """From `step` to `steps`. network: the learner as accelerate wraps it."""
    from tqdm import tqdm

    averages: dict[str, float] = {}
    bar = tqdm(
        total=steps,
        initial=step,
        desc=stage,
        mininterval=10,
        disable=not accelerator.is_main_process,
    )
    with bar:
        for sample in loader:
            with accelerator.accumulate(network):
                texts = Texts(sample["prompts"], sample["captions"], sample["asks"])
                loss, numbers = network(sample["images"], texts)
                accelerator.backward(loss)
                optimizer.step()
                optimizer.zero_grad()
            for key, value in numbers.items():  # of the first process, which alone logs
                averages[key] = 0.98 * averages.get(key, value) + 0.02 * value
            if not accelerator.sync_gradients:
                continue
            step += 1
            bar.set_postfix({k: f"{v:.3f}" for k, v in averages.items()}, refresh=False)
            bar.update()
            last = step == steps
            if last or step % LOG_EVERY == 0:
                accelerator.log(averages, step=step)
            if accelerator.is_main_process and (last or step % SHOW_EVERY == 0):
                show(accelerator, learner, found, step)
            if last or step % SAVE_EVERY == 0:
                save(accelerator, folder, stage, step)


def show(
    accelerator: Accelerator, learner: Learner, found: pictures.CaptionedPictures, step: int
) -> None:
    """Logs a picture of what the stage does by now."""
    sample = default_collate([found[k] for k in range(SHOWN)])
    images, asks = (sample[key].to(accelerator.device) for key in ("images", "asks"))
    texts = Texts(sample["prompts"], sample["captions"], asks)
    with accelerator.autocast():
        edited, restored = learner.show(images, texts)
    words = ["before"] * len(images), texts.prompts, texts.captions
    columns = [
        [Cell(to_pil(image[None]), below=[text]) for image, text in zip(column, said, strict=True)]
        for column, said in zip((images, edited.float(), restored.float()), words, strict=True)
    ]
    sheet = contact_sheet.draw([*zip(*columns, strict=True)])
    writer = accelerator.get_tracker("tensorboard", unwrap=True)
    writer.add_image(
        "before | after | restored", np.asarray(sheet), global_step=step, dataformats="HWC"
    )


def save(accelerator: Accelerator, folder: Path, stage: str, step: int) -> None:
    """Writes the whole state of a step, and removes older ones once it is complete."""
    target = folder / f"{stage}-state-{step}"
    partial = target.with_suffix(".partial")
    accelerator.save_state(str(partial))
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        shutil.rmtree(target, ignore_errors=True)
        partial.replace(target)
        for _, older in states(folder, stage)[:-1]:
            shutil.rmtree(older)
    accelerator.wait_for_everyone()


def states(folder: Path, stage: str) -> list[tuple[int, Path]]:
    """The complete states of a stage and their steps, the last one last."""
    found = [(re.fullmatch(rf"{stage}-state-(\d+)", path.name), path) for path in folder.glob("*")]
    return sorted((int(name[1]), path) for name, path in found if name)


def last_state(folder: Path, stage: str) -> tuple[int, Path | None]:
    """Where a run goes on: how many steps are done, and the state of then."""
    return (states(folder, stage) or [(0, None)])[-1]


def clear(folder: Path, stage: str) -> None:
    """Removes what an earlier run of the stage left, but its finished weights."""
    for path in folder.glob(f"{stage}-state-*"):
        shutil.rmtree(path)
    shutil.rmtree(folder / "logs" / stage, ignore_errors=True)
