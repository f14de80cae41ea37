"""`python -m clipinverter.training generator|clip|identity|encoder|adapter|remapper [--resume]`: one stage of training.

The stages build on each other in this order. `all` runs them in turn, `export` puts the finished set where the demo
looks for it. `judge` trains what the evaluation judges by, on a rendered set of its own.
"""

from __future__ import annotations

import argparse
from pathlib import Path

STAGES = ("generator", "clip", "identity", "encoder", "adapter", "remapper")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m clipinverter.training", description=__doc__)
    parser.add_argument("stage", choices=(*STAGES, "all", "export", "judge"))
    parser.add_argument("--resume", action="store_true", help="go on where the last run stopped")
    parser.add_argument(
        "--images", type=Path, default=Path("data/portraits-128"), help="the rendered set"
    )
    parser.add_argument(
        "--run", type=Path, default=Path("runs/portraits"), help="states and weights"
    )
    parser.add_argument("--scale", type=float, default=1.0, help="stretches the number of steps")
    parser.add_argument(
        "--threads", type=int, default=None, help="CPU threads (default: PyTorch's)"
    )
    parser.add_argument(
        "--start", type=Path, help="generator: weights to go on from instead of from nothing"
    )
    args = parser.parse_args()

    import torch

    from clipinverter.domains import PORTRAITS

    if args.threads:
        torch.set_num_threads(args.threads)
    if args.stage == "export":
        from clipinverter.training.weights import export

        export(args.run, PORTRAITS.folder)
        return
    for stage in STAGES if args.stage == "all" else (args.stage,):
        options = {"resume": args.resume, "scale": args.scale}
        if stage == "generator":
            options["start"] = args.start
        train(stage, PORTRAITS, args.images, args.run, **options)


def train(stage: str, domain, images: Path, folder: Path, **options) -> None:
    """Runs one stage by name."""
    from importlib import import_module

    import torch

    module = import_module(f"clipinverter.training.{stage}")
    torch.manual_seed(0)  # initial weights
    if stage in ("clip", "judge"):
        module.train(images, folder, **options)
    elif stage == "identity":
        module.train(domain, folder, **options)
    else:
        module.train(domain, images, folder, **options)


if __name__ == "__main__":
    main()
