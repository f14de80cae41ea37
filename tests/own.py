"""A domain that a user would add, small enough to train in seconds: cats, without faces.

Run as a program it is `python -m clipinverter…` with that domain in the registry, under the folder ROOT of the
environment: `accelerate launch tests/own.py training adapter …` or `… edit …`.
"""

import dataclasses
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from clipinverter import domains
from clipinverter.models import clip, irse
from clipinverter.training import lpips
from clipinverter.weights import files
from clipinverter.weights.build import build_networks
from tests.tiny import DOMAIN

CATS = dataclasses.replace(
    DOMAIN, name="cats", title="Cats", aligned=False, text_image="portraits", text_dim=32
)
TINY_CLIP = {
    "embed_dim": 32,
    "vision_cfg": clip.SMALL["vision_cfg"] | {"image_size": 32},
    "text_cfg": clip.SMALL["text_cfg"] | {"width": 32, "heads": 2, "layers": 1},
}
TINY_ARCFACE = {"widths": (16,) * 4, "units": (1,) * 4, "embedding_dim": 32}
RENDERS = Path(__file__).parent.parent / "assets" / "portraits"


def add(root: Path, setattr: Any = setattr) -> None:
    """Puts the domain into the registry, its files under `root`."""
    setattr(domains, "ROOT", root)
    setattr(domains, "DOMAINS", {**domains.DOMAINS, "cats": CATS})
    setattr(clip, "SMALL", TINY_CLIP)
    setattr(irse, "SMALL", TINY_ARCFACE)
    setattr(lpips, "LPIPS", _offline)


def _offline() -> None:
    """In the place of LPIPS, so that no test fetches its weights."""
    raise OSError("no network in tests")


def write_weights(identity: bool = True) -> None:
    """Random ones for everything that a user brings: generator, encoder, text-image model, identity network."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        generator, encoder, _ = build_networks(CATS)
        latent_avg = torch.randn(generator.n_latent, CATS.style_dim)
        parts = {
            "generator": {
                key: value
                for key, value in generator.state_dict().items()
                if not key.startswith(("affine_mlps.", "lambdas."))
            },
            "encoder": encoder.state_dict() | {"latent_avg": latent_avg},
            "clip": clip.build(clip.SMALL).model.state_dict(),
            "identity": irse.ArcFace(**irse.SMALL).state_dict(),
        }
    for part in parts if identity else [*parts][:-1]:
        files.save_weights(CATS.folder / f"{part}.safetensors", parts[part], half=False)


def write_pictures(folder: Path, count: int = 6) -> tuple[Path, Path]:
    """A folder of small renders, one of them in a subfolder, and a folder with ten captions for each."""
    images, captions = folder / "images", folder / "captions"
    for place, path in enumerate(sorted(RENDERS.glob("*.png"))[:count]):
        name = f"more/{path.stem}" if place == 0 else path.stem
        for parent in (images, captions):
            (parent / name).parent.mkdir(parents=True, exist_ok=True)
        with Image.open(path) as image:
            image.resize((48, 48)).convert("RGB").save(images / f"{name}.jpg", quality=95)
        lines = [f"cat {path.stem}, seen for the {k}th time" for k in range(10)]
        (captions / f"{name}.txt").write_text("\n".join(lines) + "\n")
    return images, captions


def write_trained() -> None:
    """What training adds, untrained: the adapter, and the generator with a remapper."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        generator, _, adapter = build_networks(CATS)
    files.save_weights(CATS.folder / "generator.safetensors", generator.state_dict())
    files.save_weights(CATS.folder / "adapter.safetensors", adapter.state_dict())


def environment(root: Path) -> dict[str, str]:
    """For this file as a program; the launcher's and torch's are left as they are."""
    here = str(Path(__file__).parent.parent)
    return os.environ | {"ROOT": str(root), "PYTHONPATH": here, "OMP_NUM_THREADS": "1"}


def launch(root: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Runs this file in two processes on the CPU."""
    launcher = [
        sys.executable,
        "-m",
        "accelerate.commands.launch",
        "--multi_gpu",
        "--num_machines=1",
    ]
    launcher += ["--num_processes=2", "--mixed_precision=no", "--dynamo_backend=no"]
    launcher += [f"--main_process_port={_free_port()}", "-m", "tests.own"]
    return subprocess.run(
        [*launcher, *map(str, arguments)],
        env=environment(root) | {"ACCELERATE_USE_CPU": "true"},
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        check=False,
    )


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


if __name__ == "__main__":
    add(Path(os.environ["ROOT"]))
    if sys.argv[1] == "training":
        from clipinverter.training.__main__ import main

        sys.exit(main(sys.argv[2:]))
    from clipinverter.__main__ import main

    sys.exit(main(sys.argv[1:]))
