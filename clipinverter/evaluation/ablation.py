"""What each part of the method gives: `python -m clipinverter.training ablation`.

The finished set is measured with the adapter alone and with the remapper alone. Then the adapter's last stage is
repeated from where the known changes left it (adapter-rows.pt), for a few steps, with one loss off at a time.
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
from clipinverter.models.adapter import RESIDUAL_SCALE
from clipinverter.portraits import judge
from clipinverter.training.loop import cosine, set_rate
from clipinverter.training.objective import Teachers
from clipinverter.training.portraits import adapter, data, encoder
from clipinverter.weights import runs
from clipinverter.weights.load import Models

STEPS = 20
SCENES, EACH = 64, 4  # held-out scenes, and at most how many a prompt
SEED = 1
LOSSES = ("identity", "l2", "lpips", "clip", "w_norm", "cycle", "counterfactual")


def measure(
    models: Models, seer: judge.Judge, held: list[metrics.Held], residual_scale: float
) -> dict[str, float]:
    """Means over the prompts with one attribute, and the target over those with several."""
    common = (models, seer, held, EACH, residual_scale, (0.0, 1.0))
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
) -> adapter.Adapter:
    """The adapter after the last stage's first STEPS steps, with one loss off."""
    net = adapter.build(domain).train()
    state = torch.load(folder / "adapter-rows.pt", map_location="cpu", weights_only=True)
    prefix = "module.adapter."
    net.load_state_dict(
        {k.removeprefix(prefix): v for k, v in state["average"].items() if k.startswith(prefix)}
    )
    losses = replace(adapter.LOSSES, **{without: 0.0}) if without else adapter.LOSSES
    loss_of = adapter.last_step(teachers, net, rendered, losses)
    optimizer = encoder.optimizer_of(net, adapter.LAST_FACTOR)
    for i in range(STEPS):
        set_rate(optimizer, cosine(i, STEPS, warmup=5))
        loss, _ = loss_of(np.random.default_rng([SEED, i]))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
    return net.eval()


def train(domain: Domain, images: Path, folder: Path, *, resume: bool, scale: float = 1.0) -> None:
    """Writes ablation.json: what was off, and what was measured; with `resume` what it has is kept."""
    path = folder / "ablation.json"
    report = json.loads(path.read_text()) if resume and path.exists() else {}
    rendered = data.load(images)
    teachers = Teachers.load(folder, domain)
    generator = runs.remapped(folder, domain)
    finished = runs.adapter(folder, domain)
    seer = judge.load()
    # Rendered last: Mesa and a torchvision that is imported after it don't get along.
    held = metrics.held_out(max(1, int(SCENES * scale)), domain.image_size, SEED)

    def models(net: adapter.Adapter, remapper: bool) -> Models:
        drawing = copy.deepcopy(generator)
        for pull in () if remapper else drawing.lambdas:
            pull.data.zero_()
        t = teachers
        frozen = (t.latent_avg, lambda: t.text_image, torch.device("cpu"))
        return Models(domain, drawing, t.encoder, net, *frozen)

    cases: dict[str, Callable[[], dict[str, float]]] = {
        "finished": lambda: measure(models(finished, True), seer, held, RESIDUAL_SCALE),
        "adapter only": lambda: measure(models(finished, False), seer, held, RESIDUAL_SCALE),
        "remapper only": lambda: measure(models(finished, True), seer, held, 0.0),
    }
    for loss in (None, *LOSSES):
        name = f"last stage, {STEPS} steps, " + (f"without {loss}" if loss else "all losses")
        cases[name] = lambda loss=loss: measure(
            models(repeated(teachers, domain, folder, rendered, loss), False),
            seer,
            held,
            RESIDUAL_SCALE,
        )
    for name, case in cases.items():
        if name not in report:
            report[name] = case()
            path.write_text(json.dumps(report, indent=2))
        print(name, {key: round(value, 3) for key, value in report[name].items()}, flush=True)
