"""What each part of the method contributes: `python -m clipinverter.evaluation ablation`.

The finished weights are measured with the adapter alone and with the remapper alone. Then the last stage of the adapter
is repeated from the state of the stage before (adapter-rows.pt), for a few steps, with one loss switched off at a time.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from clipinverter.domains import Domain
from clipinverter.evaluation import editing, metrics
from clipinverter.models.adapter import RESIDUAL_SCALE, Adapter
from clipinverter.portraits import judge
from clipinverter.training.loop import cosine, set_rate
from clipinverter.training.objective import Teachers
from clipinverter.training.portraits import data
from clipinverter.training.portraits.adapter import build, last_loss
from clipinverter.training.portraits.batches import load_teachers
from clipinverter.training.portraits.encoder import optimizer_of
from clipinverter.training.presets import PRESETS
from clipinverter.weights.folder import RunWeights
from clipinverter.weights.load import Models

STEPS = 20
SCENES = 64  # held-out scenes
EACH = 4  # at most, for a prompt
SEED = 1
LOSSES = ("identity", "l2", "lpips", "clip", "w_norm", "cycle", "counterfactual")


def measure(
    models: Models, by: judge.Judge, held: list[metrics.Held], residual_scale: float
) -> dict[str, float]:
    """Means over the prompts with one attribute, and the target over those with several."""
    common = (models, by, held, EACH, residual_scale, (0.0, 1.0))
    single, several = editing.single(*common), editing.several(*common)
    keys = ("target", "others_kept", "identity", "counterfactual_ratio")
    figures = {key: editing.mean(single, key) for key in keys}
    return figures | {"several": editing.mean(several, "target")}


def repeated(
    teachers: Teachers,
    domain: Domain,
    folder: Path,
    rendered: data.RenderedSet,
    without: str | None,
) -> Adapter:
    """The adapter after the first STEPS steps of the last stage, with the loss `without` switched off."""
    preset = PRESETS["adapter"]
    net = build(domain).train()
    state = torch.load(folder / "adapter-rows.pt", map_location="cpu", weights_only=True)
    prefix = "module.adapter."
    net.load_state_dict(
        {k.removeprefix(prefix): v for k, v in state["average"].items() if k.startswith(prefix)}
    )
    losses = replace(preset.losses, **{without: 0.0}) if without else preset.losses
    loss_of = last_loss(teachers, net, rendered, losses)
    optimizer = optimizer_of(net, preset.rate)
    for i in range(STEPS):
        set_rate(optimizer, cosine(i, STEPS, warmup=5))
        loss, _ = loss_of(np.random.default_rng([SEED, i]))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
    return net.eval()


def ablate(domain: Domain, images: Path, folder: Path, *, resume: bool, scale: float = 1.0) -> None:
    """Writes ablation.json to the run folder: what was left out, and what was measured.

    Args:
        images: the rendered set of the training.
        resume: keep what the file has already.
        scale: multiplies the number of held-out scenes.

    Raises:
        DataError, CheckpointError: the rendered set, weights of the run or the judge are missing.
    """
    path = folder / "ablation.json"
    report = json.loads(path.read_text()) if resume and path.exists() else {}
    rendered = data.load(images)
    weights = RunWeights(domain, folder)
    teachers = load_teachers(weights)
    generator = weights.generator("remapper")
    finished = weights.adapter()
    by = judge.load()
    # Rendered last: torchvision can't be imported any more once Mesa is loaded.
    held = metrics.held_out(max(1, int(SCENES * scale)), domain.image_size, SEED)

    def models(net: Adapter, remapper: bool) -> Models:
        drawing = copy.deepcopy(generator)
        for strength in () if remapper else drawing.lambdas:
            strength.data.zero_()
        t = teachers
        frozen = (t.latent_avg, lambda: t.text_image, torch.device("cpu"))
        return Models(domain, drawing, t.encoder, net, *frozen)

    cases: dict[str, Callable[[], dict[str, float]]] = {
        "finished": lambda: measure(models(finished, True), by, held, RESIDUAL_SCALE),
        "adapter only": lambda: measure(models(finished, False), by, held, RESIDUAL_SCALE),
        "remapper only": lambda: measure(models(finished, True), by, held, 0.0),
    }
    for loss in (None, *LOSSES):
        name = f"last stage, {STEPS} steps, " + (f"without {loss}" if loss else "all losses")
        cases[name] = lambda loss=loss: measure(
            models(repeated(teachers, domain, folder, rendered, loss), False),
            by,
            held,
            RESIDUAL_SCALE,
        )
    for name, case in cases.items():
        if name not in report:
            report[name] = case()
            path.write_text(json.dumps(report, indent=2))
        print(name, {key: round(value, 3) for key, value in report[name].items()}, flush=True)
