"""CLIPAdapter and CLIPRemapper from a folder of pictures with captions, on one device or many.

Objective, loss weights, optimiser and learning rates are the authors'. `accelerate launch` sets the number of
processes, the precision and the accumulation of gradients.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.utils.data import DataLoader

from clipinverter.domains import Domain
from clipinverter.photo import contact_sheet
from clipinverter.photo.contact_sheet import Cell
from clipinverter.photo.tensors import to_pil
from clipinverter.training import pictures
from clipinverter.training.captioned.learner import COMPARED_SIZE, Learner, Texts, load_teachers
from clipinverter.training.loop import Averages, writing
from clipinverter.training.presets import PAPER, LossWeights
from clipinverter.training.ranger import ranger
from clipinverter.weights.build import build_networks
from clipinverter.weights.files import save_weights
from clipinverter.weights.folder import RunWeights

if TYPE_CHECKING:
    from accelerate import Accelerator

LOG_EVERY, SHOW_EVERY, SAVE_EVERY = 50, 500, 1000  # steps
SHOWN = 4  # pictures on a sheet, always the same


def train_captioned(
    stage: str,
    domain: Domain,
    images: Path,
    captions: Path,
    folder: Path,
    *,
    resume: bool,
    moco: Path | None = None,
    steps: int | None = None,
    batch: int | None = None,
) -> None:
    """Trains "adapter" or "remapper" and writes `<stage>.safetensors` to `folder`, which all processes share.

    States are saved there too, and a log for TensorBoard in `logs`. With `resume` training goes on from the last state,
    with the same pictures in the same order. Without it an earlier run is replaced.

    Args:
        moco: see `learner.load_teachers`.
        steps: of the optimiser, in all (default: the authors').
        batch: pictures in each process and pass (default: the authors'); processes and accumulated passes multiply it.

    Raises:
        DataError: the folders can't be used.
        CheckpointError: weights are missing or don't fit.
    """
    preset = PAPER[stage]
    steps, batch = steps or preset.steps, batch or preset.batch
    found = pictures.load(images, captions, min(domain.image_size, COMPARED_SIZE))
    from accelerate import Accelerator

    accelerator = Accelerator(log_with="tensorboard", project_dir=folder / "logs")
    torch.manual_seed(0)  # initial weights
    learner = make_learner(stage, domain, folder, preset.losses, accelerator.device, moco)
    optimizer = ranger(learner.parameters(), preset.rate)
    if accelerator.is_main_process and not resume:
        clear(folder, stage)
    accelerator.wait_for_everyone()
    start, state = last_state(folder, stage)
    samples = batch * accelerator.num_processes * accelerator.gradient_accumulation_steps
    loader = DataLoader(
        found,
        batch,
        sampler=range(start * samples, max(start, steps) * samples),
        collate_fn=pictures.with_prompts,
        num_workers=0 if accelerator.device.type == "cpu" else 4,
    )
    network, optimizer, loader = accelerator.prepare(learner, optimizer, loader)
    if state is not None:
        accelerator.load_state(str(state))
    options = {"tensorboard": {"purge_step": start}}
    accelerator.init_trackers(stage, init_kwargs=options)
    _loop(accelerator, stage, folder, network, learner, optimizer, loader, found, start, steps)
    if accelerator.is_main_process:
        teachers, adapter = learner.networks
        result = teachers.generator if stage == "remapper" else adapter
        path = folder / f"{stage}.safetensors"
        save_weights(path, result.state_dict(), half=False)
    accelerator.end_training()


def make_learner(
    stage: str,
    domain: Domain,
    folder: Path,
    losses: LossWeights,
    device: torch.device,
    moco: Path | None,
) -> Learner:
    """The networks at the start of a stage; stage two takes the adapter that stage one wrote to `folder`."""
    teachers = load_teachers(domain, device, moco)
    remaps = stage == "remapper"
    adapter = RunWeights(domain, folder).adapter() if remaps else build_networks(domain)[2]
    return Learner(teachers, adapter.to(device), losses, remaps=remaps)


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
    """Trains from `step` to `steps`. network: the learner as accelerate wraps it."""
    from tqdm import tqdm

    averages = Averages()  # of the first process, which alone logs
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
            averages.add(numbers)
            if not accelerator.sync_gradients:
                continue
            step += 1
            averages.show(bar)
            last = step == steps
            if last or step % LOG_EVERY == 0:
                accelerator.log(averages.values, step=step)
            if accelerator.is_main_process and (last or step % SHOW_EVERY == 0):
                show(accelerator, learner, found, step)
            if last or step % SAVE_EVERY == 0:
                save(accelerator, folder, stage, step)


def show(
    accelerator: Accelerator, learner: Learner, found: pictures.CaptionedPictures, step: int
) -> None:
    """Logs a sheet of edits by the networks as they are now, each by the caption of another picture."""
    sample = pictures.with_prompts([found[k] for k in range(SHOWN)], asks=True)
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
    """Writes the whole state after a step, then removes older states."""
    target = folder / f"{stage}-state-{step}"
    partial = target.with_suffix(".partial")
    with writing(target, partial):
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
    """The number of steps done and the state after them; 0 and None without a state."""
    return (states(folder, stage) or [(0, None)])[-1]


def clear(folder: Path, stage: str) -> None:
    """Removes the states and logs of an earlier run of the stage; finished weights stay."""
    for path in folder.glob(f"{stage}-state-*"):
        shutil.rmtree(path)
    shutil.rmtree(folder / "logs" / stage, ignore_errors=True)
