"""`python -m clipinverter.training generator|clip|identity|encoder|adapter|remapper [--resume]`: one stage of training.

The stages build on each other in this order. `all` runs them in turn, `export` puts the finished set where the demo
looks for it. `judge` trains what the evaluation judges by, on a rendered set of its own; `ablation` measures what each
part of the method gives.

`generator --start FILE --images DIR` with a folder of pictures in place of a rendered set adapts a generator to them,
in any domain.

`adapter|remapper --images DIR --captions DIR --domain D` learns from pictures with captions instead, in any domain that
has a generator and an encoder.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

STAGES = ("clip", "generator", "identity", "encoder", "adapter", "remapper")
OWN_STAGES = ("adapter", "remapper")  # which can learn from pictures with captions


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m clipinverter.training", description=__doc__)
    parser.add_argument("stage", choices=(*STAGES, "all", "export", "judge", "ablation"))
    parser.add_argument("--resume", action="store_true", help="go on where the last run stopped")
    parser.add_argument(
        "--images",
        type=Path,
        default=Path("data/portraits-256"),
        help="the rendered set; with --captions, and for a generator with --start, pictures",
    )
    parser.add_argument("--run", type=Path, help="states and weights (default: runs/<domain>)")
    parser.add_argument("--scale", type=float, default=1.0, help="stretches the number of steps")
    parser.add_argument(
        "--threads", type=int, default=None, help="CPU threads (default: PyTorch's)"
    )
    parser.add_argument(
        "--start", type=Path, help="generator: weights to go on from instead of from nothing"
    )
    own = parser.add_argument_group("pictures with captions (adapter, remapper)")
    own.add_argument("--captions", type=Path, help="a .txt for each picture, a caption a line")
    own.add_argument("--domain", default="portraits", help="whose networks; export: where to")
    own.add_argument("--moco", type=Path, help="MoCo's ResNet-50, for what is no person")
    own.add_argument("--steps", type=int, help="in all (default: 200000 and 20000)")
    own.add_argument("--batch", type=int, default=8, help="pictures a process (default: 8)")
    args = parser.parse_args(arguments)
    if args.captions and args.stage not in OWN_STAGES:
        parser.error(f"--captions is for {' and '.join(OWN_STAGES)}, not for {args.stage}")
    if args.domain != "portraits" and not (
        args.captions or args.stage == "export" or adapts(args.stage, args.images, args.start)
    ):
        parser.error("--domain goes with --captions, with a generator's pictures, or with export")

    import torch

    from clipinverter.domains import get_domain
    from clipinverter.errors import UserError

    if args.threads:
        torch.set_num_threads(args.threads)
    try:
        domain = get_domain(args.domain)
        run(args, domain, args.run or Path("runs") / domain.name)
    except UserError as error:
        if os.environ.get("RANK", "0") == "0":  # once, not in every process
            print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def run(args: argparse.Namespace, domain, folder: Path) -> None:
    """Does what the arguments say."""
    if args.stage == "export":
        from clipinverter.weights.runs import PARTS, export

        export(folder, domain.folder, PARTS if domain.name == "portraits" else OWN_STAGES)
        return
    if args.captions:
        from clipinverter.training.captioned import train as captioned

        options = {"resume": args.resume, "moco": args.moco, "steps": args.steps}
        folders = (args.images, args.captions, folder)
        captioned.train(args.stage, domain, *folders, batch=args.batch, **options)
        return
    for stage in STAGES if args.stage == "all" else (args.stage,):
        options = {"resume": args.resume, "scale": args.scale}
        if stage == "generator":
            options["start"] = args.start
        train(stage, domain, args.images, folder, **options)


def adapts(stage: str, images: Path, start: Path | None) -> bool:
    """Whether a generator is to learn from a plain folder of pictures, not from a rendered set."""
    plain = not any(images.glob("latents-*.npy"))
    return stage == "generator" and plain and (start is not None or images.is_dir())


def train(stage: str, domain, images: Path, folder: Path, **options) -> None:
    """Runs one stage by name."""
    from importlib import import_module

    import torch

    if stage == "ablation":
        name = "evaluation.ablation"
    elif adapts(stage, images, options.get("start")):
        name = "training.finetune_generator"
    else:
        name = f"training.portraits.{stage}"
    module = import_module(f"clipinverter.{name}")
    torch.manual_seed(0)  # initial weights
    if stage in ("clip", "judge"):
        module.train(images, folder, **options)
    elif stage == "identity":
        module.train(domain, folder, **options)
    else:
        module.train(domain, images, folder, **options)


if __name__ == "__main__":
    sys.exit(main())
