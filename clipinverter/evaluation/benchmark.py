"""The time of an edit compared with the plain implementation: `python -m clipinverter.evaluation bench`.

Both run in turns in one process, so that other load on the machine slows both down, and their medians are
compared. Without the weights of a domain, networks of the same sizes with random weights are measured: they
take the same time. Each precision is measured in its own processes; memory is that of one that only edits.
"""

from __future__ import annotations

import math
import multiprocessing
import resource
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from statistics import median
from typing import Any

import numpy as np
import torch
from PIL import Image

from clipinverter.domains import Domain, get_domain
from clipinverter.editor import Editor
from clipinverter.evaluation import plain
from clipinverter.photo.load import load_photo
from clipinverter.photo.tensors import to_pil, to_tensor
from clipinverter.tuning import tune, tuned
from clipinverter.weights.build import build_networks, build_text_image
from clipinverter.weights.files import CheckpointError
from clipinverter.weights.folder import DomainWeights
from clipinverter.weights.load import (
    REQUIRED_PARTS,
    Models,
    computes_in_bfloat16,
    load_models,
    serve_in,
)

REPEATS = 5
COLUMNS = (
    "plain_ms", "first_edit_ms", "new_prompt_ms", "slider_ms", "ratio_new_prompt", "ratio_slider",
    "psnr_db", "peak_mib",
)  # fmt: skip
TUNED_UP_TO = 512  # pixels; above, learning a photo takes minutes on a CPU
CONTRAST = 0.5  # standard deviation of the pictures' values, as in photographs


def bench(domain: Domain, repeats: int = REPEATS) -> dict[str, Any]:
    """The results of `measure` and `peak_mib`, for each precision that the CPU computes in."""
    report: dict[str, Any] = {
        "domain": domain.name,
        "image_size": domain.image_size,
        "weights": "random" if has_no_files(domain) else "of the domain",
        "threads": torch.get_num_threads(),
    }
    for precision in ("float32", "bfloat16") if computes_in_bfloat16() else ("float32",):
        figures = _alone(_measured, domain.name, precision, repeats)
        report[precision] = figures | {"peak_mib": _alone(_peak, domain.name, precision)}
    if domain.image_size <= TUNED_UP_TO:
        report["learning"] = _alone(_learned, domain.name)
    return report


def table(report: dict[str, Any]) -> str:
    """The report as Markdown."""
    shown = [name for name in ("float32", "bfloat16") if name in report]
    lines = ["| | " + " | ".join(shown) + " |", "|---|" + "---|" * len(shown)]
    for column in COLUMNS:
        figures = " | ".join(f"{report[name][column]:g}" for name in shown)
        lines.append(f"| {column} | {figures} |")
    kind = "random weights" if report["weights"] == "random" else "the weights of the domain"
    if learning := report.get("learning"):
        lines += ["", "| learning a photo | |", "|---|---|"]
        lines += [f"| {name} | {value:g} |" for name, value in learning.items()]
    where = f"{report['domain']}, {report['image_size']} px, {kind}, {report['threads']} threads"
    return "\n".join([where, "", *lines])


def measure(plainly: Models, served: Models, repeats: int = REPEATS) -> dict[str, float]:
    """Medians in ms over `repeats` turns, their ratios, and the PSNR between the pictures in dB.

    `plain_ms` is one edit by the plain implementation; `first_edit_ms` one of a new picture by the
    Editor, without face detection; `new_prompt_ms` and `slider_ms` are another prompt and another
    strength for that picture.

    Args:
        plainly: networks in float32, as they were built.
        served: the same in the precision to be measured.
    """
    editor = Editor(served)
    times: dict[str, list[float]] = {name: [] for name in COLUMNS[:4]}

    def timed(name: str, run: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        result = run()
        times[name].append((time.perf_counter() - start) * 1000)
        return result

    def edit_plainly(photo: Image.Image, prompt: str) -> Image.Image:
        with torch.no_grad():
            images = to_tensor(photo, plainly.domain.encoder_size)
            return to_pil(plain.edit(plainly, images, prompt, 1.0))

    errors = []
    for turn in range(repeats + 1):  # the first one warms up
        photo, prompt = _photo(turn), f"a person of {20 + turn} years"
        reference = timed("plain_ms", lambda: edit_plainly(photo, prompt))  # noqa: B023
        first = timed("first_edit_ms", lambda: _first_edit(editor, photo))  # noqa: B023
        edit = timed("new_prompt_ms", lambda: editor.edit(first.inversion, prompt))  # noqa: B023
        timed("slider_ms", lambda: editor.edit(first.inversion, prompt, 0.5))  # noqa: B023
        errors.append((to_tensor(reference) - to_tensor(edit.image)).square().mean().item())
    figures = {name: round(median(values[1:]), 1) for name, values in times.items()}
    return figures | {
        "ratio_new_prompt": round(figures["plain_ms"] / figures["new_prompt_ms"], 2),
        "ratio_slider": round(figures["plain_ms"] / figures["slider_ms"], 2),
        "psnr_db": round(10 * math.log10(4 / max(max(errors), 1e-10)), 1),
    }


def learn(models: Models, photo: Image.Image, turns: int = 2) -> dict[str, float]:
    """Seconds of a pivotal tuning by `plain.tune` and by the Editor, in turns; their ratio; and both L1 distances."""
    editor = Editor(models)
    inversion = editor.invert(photo, "none")
    target, w_plus = to_tensor(photo, models.domain.image_size), inversion.w_plus
    plain_s, tuned_s = [], []
    for _ in range(turns):
        start = time.perf_counter()
        plain_error = plain.tune(models, w_plus, target)
        plain_s.append(time.perf_counter() - start)
        start = time.perf_counter()
        tuning = tune(models, w_plus, photo)
        tuned_s.append(time.perf_counter() - start)
    with torch.no_grad():
        error = (tuned(models.generator, tuning)(w_plus) - target).abs().mean()
    return {
        "plain_s": round(median(plain_s), 2),
        "tuning_s": round(median(tuned_s), 2),
        "ratio": round(median(plain_s) / median(tuned_s), 2),
        "plain_l1": round(plain_error, 4),
        "tuning_l1": round(float(error), 4),
    }


def random_models(domain: Domain) -> Models:
    """Networks in the sizes of a domain, always with the same random weights, in float32.

    Noise, biases and the remapper are strong enough to change pixels, and pictures have `CONTRAST`.
    """
    with torch.random.fork_rng():
        torch.manual_seed(0)
        generator, encoder, adapter = build_networks(domain)
        for name, parameter in generator.named_parameters():
            if name.endswith(("noise.weight", "activate.bias")):
                parameter.data += 0.1 * torch.randn_like(parameter)
            elif name.startswith("lambdas."):
                parameter.data += 0.2
        latent_avg = torch.randn(generator.n_latent, domain.style_dim)
        text_image = build_text_image(domain)
    for network in (generator, encoder, adapter, text_image.model):
        network.eval().requires_grad_(False)
    contrast = CONTRAST / generator(latent_avg[None]).std()
    for layer in (generator.to_rgb1, *generator.to_rgbs):
        layer.conv.weight *= contrast
    device = torch.device("cpu")
    return Models(domain, generator, encoder, adapter, latent_avg, lambda: text_image, device)


def has_no_files(domain: Domain) -> bool:
    """Whether a required file of weights is missing."""
    try:
        DomainWeights(domain).check(REQUIRED_PARTS)
    except CheckpointError:
        return True
    return False


def _models(name: str, precision: str) -> Models:
    domain, dtype = get_domain(name), getattr(torch, precision)
    if not has_no_files(domain):
        return load_models(domain, "cpu", dtype)
    models = random_models(domain)
    serve_in(dtype, models.generator, models.encoder, models.adapter)
    return models


def _measured(name: str, precision: str, repeats: int) -> dict[str, float]:
    plainly, served = _models(name, "float32"), _models(name, precision)
    for network in (plainly.encoder, plainly.adapter):
        network.to(memory_format=torch.contiguous_format)  # as PyTorch builds them
    return measure(plainly, served, repeats)


def _peak(name: str, precision: str) -> int:
    """Peak memory in MiB of a process that loads the networks and edits, with mapped files."""
    editor = Editor(_models(name, precision))
    inversion = _first_edit(editor, _photo(0)).inversion
    editor.edit(inversion, "a person with red hair")
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def _learned(name: str) -> dict[str, float]:
    models = _models(name, "float32")
    examples = models.domain.examples
    return learn(models, load_photo(examples[0]) if examples else _photo(0))


def _first_edit(editor: Editor, photo: Image.Image) -> Any:
    return editor.edit(editor.invert(photo, "none"), "a smiling person")


def _photo(seed: int) -> Image.Image:
    """A picture of soft random colours."""
    colours = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(colours).resize((256, 256), Image.Resampling.BICUBIC)


def _alone(function: Callable[..., Any], *arguments: Any) -> Any:
    """The function's result in a fresh process."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context) as pool:
        return pool.submit(function, *arguments).result()
