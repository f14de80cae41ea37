"""`python -m clipinverter.training generator|clip|identity|encoder|adapter|remapper [--resume]`: one stage of training.

The stages of the portraits build on each other; `all` runs them in order, and `export` copies the finished weights to
where the demo reads them. `judge` trains the network that the evaluation judges by, on a rendered set of its own.

`finetune-generator --start FILE --images DIR` goes on with a generator, in any domain, on a plain folder of pictures.

`photographs --photos DIR --images DIR --minutes M` goes on with the portraits' generator and encoder, on a folder of
photographs and a rendered set.

`words --images DIR` goes on with the text tower of the portraits' text-image model: absences, first person, typing
errors, other languages.

`adapter|remapper --images DIR --captions DIR --domain D` trains on pictures with captions, in any domain that has a
generator and an encoder.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clipinverter.domains import Domain

STAGES = ("clip", "generator", "identity", "encoder", "adapter", "remapper")  # in order
CAPTIONED_STAGES = ("adapter", "remapper")  # which can learn from pictures with captions
OTHERS = ("judge", "finetune-generator", "photographs", "words")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m clipinverter.training", description=__doc__)
    parser.add_argument("stage", choices=(*STAGES, "all", "export", *OTHERS))
    parser.add_argument("--resume", action="store_true", help="go on where the last run stopped")
    parser.add_argument(
        "--images",
        type=Path,
        default=Path("data/portraits-256"),
        help="the rendered set; with --captions, and for finetune-generator, a folder of pictures",
    )
    parser.add_argument("--run", type=Path, help="states and weights (default: runs/<domain>)")
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies the number of steps")
    parser.add_argument(
        "--threads", type=int, default=None, help="CPU threads (default: PyTorch's)"
    )
    parser.add_argument(
        "--start", type=Path, help="generator, finetune-generator: weights to start from"
    )
    photographs = parser.add_argument_group("photographs")
    photographs.add_argument("--photos", type=Path, help="faces, cut as FFHQ's are")
    photographs.add_argument("--minutes", type=float, default=45, help="of training (default: 45)")
    photographs.add_argument("--device", help="cpu or cuda (default: the graphics card if any)")
    captioned = parser.add_argument_group("pictures with captions (adapter, remapper)")
    captioned.add_argument(
        "--captions", type=Path, help="a .txt for each picture, a caption a line"
    )
    captioned.add_argument("--domain", default="portraits", help="whose networks")
    captioned.add_argument(
        "--moco", type=Path, help="MoCo's ResNet-50, unless pictures show people"
    )
    captioned.add_argument("--steps", type=int, help="in all (default: 200000 and 20000)")
    captioned.add_argument("--batch", type=int, help="pictures a process (default: 8)")
    args = parser.parse_args(arguments)
    if args.captions and args.stage not in CAPTIONED_STAGES:
        parser.error(f"--captions is for {' and '.join(CAPTIONED_STAGES)}, not for {args.stage}")
    if args.stage == "photographs" and not args.photos:
        parser.error("--photos DIR is needed: the folder of photographs")
    any_domain = args.captions or args.stage in ("export", "finetune-generator")
    if args.domain != "portraits" and not any_domain:
        parser.error("--domain goes with --captions, with finetune-generator, or with export")

    import torch

    from clipinverter.domains import get_domain
    from clipinverter.errors import UserError

    if args.threads:
        torch.set_num_threads(args.threads)
    try:
        domain = get_domain(args.domain)
        run(args, domain, args.run or Path("runs") / domain.name)
    except (UserError, OSError) as error:
        if os.environ.get("RANK", "0") == "0":  # once, not in every process
            print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def run(args: argparse.Namespace, domain: Domain, folder: Path) -> None:
    """Does what the arguments say."""
    if args.stage == "export":
        from clipinverter.weights.folder import FINISHED_PARTS, RunWeights

        parts = FINISHED_PARTS if domain.name == "portraits" else CAPTIONED_STAGES
        RunWeights(domain, folder).export(domain.folder, parts)
        return
    if args.captions:
        from clipinverter.training.captioned.train import train_captioned

        options = {"moco": args.moco, "steps": args.steps, "batch": args.batch}
        folders = (args.images, args.captions, folder)
        train_captioned(args.stage, domain, *folders, resume=args.resume, **options)
        return
    if args.stage == "photographs":
        from clipinverter.training.portraits.photographs import train_photographs

        options = {"resume": args.resume, "batch": args.batch or 8, "device": args.device}
        train_photographs(domain, args.photos, args.images, folder, minutes=args.minutes, **options)
        return
    for stage in STAGES if args.stage == "all" else (args.stage,):
        options = {"resume": args.resume, "scale": args.scale}
        if stage in ("generator", "finetune-generator"):
            options["start"] = args.start
        train(stage, domain, args.images, folder, **options)


def train(stage: str, domain: Domain, images: Path, folder: Path, **options: object) -> None:
    """Runs one stage by name; options: `resume` and `scale`, and `start` for generators."""
    import torch

    torch.manual_seed(0)  # initial weights
    trainers()[stage](domain, images, folder, **options)


def trainers() -> Mapping[str, Callable[..., None]]:
    """The function that trains each stage. Imported here, since that takes seconds."""
    from clipinverter.training.finetune_generator import finetune_generator
    from clipinverter.training.portraits.adapter import train_adapter
    from clipinverter.training.portraits.clip import train_clip
    from clipinverter.training.portraits.encoder import train_encoder
    from clipinverter.training.portraits.generator import train_generator
    from clipinverter.training.portraits.identity import train_identity
    from clipinverter.training.portraits.judge import train_judge
    from clipinverter.training.portraits.remapper import train_remapper
    from clipinverter.training.portraits.words import train_words

    return {
        "clip": train_clip,
        "generator": train_generator,
        "identity": train_identity,
        "encoder": train_encoder,
        "adapter": train_adapter,
        "remapper": train_remapper,
        "judge": train_judge,
        "words": train_words,
        "finetune-generator": finetune_generator,
    }


if __name__ == "__main__":
    sys.exit(main())
