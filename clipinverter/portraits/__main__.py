"""`python -m clipinverter.portraits sheet|strips|dataset`: look at portraits, or render a set of them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from clipinverter.errors import UserError


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m clipinverter.portraits", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    p = commands.add_parser("sheet", help="a contact sheet of random portraits")
    p.add_argument("out", help="the picture to write")
    p.add_argument("--count", type=int, default=36)
    p.add_argument("--columns", type=int, default=6)
    p.add_argument("--size", type=int, default=192, help="side of each portrait, pixels")
    p.add_argument("--seed", type=int, default=0)
    p.set_defaults(run=_sheet)
    p = commands.add_parser("strips", help="every attribute before and after")
    p.add_argument("out", help="the picture to write")
    p.add_argument("--size", type=int, default=128, help="side of each portrait, pixels")
    p.set_defaults(run=_strips)
    p = commands.add_parser(
        "dataset", help="a set of pictures with their latents; resumes where it stopped"
    )
    p.add_argument("directory", type=Path)
    p.add_argument("--count", type=int, required=True)
    p.add_argument("--size", type=int, required=True, help="side of the pictures, pixels")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--processes", type=int, default=None, help="default: one per core")
    p.set_defaults(run=_dataset)
    args = parser.parse_args(arguments)
    try:
        args.run(args)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _sheet(args: argparse.Namespace) -> None:
    from clipinverter.portraits.samples import sheet

    sheet(args.count, args.columns, args.size, args.seed).save(args.out)


def _strips(args: argparse.Namespace) -> None:
    from clipinverter.portraits.samples import strips

    strips(args.size).save(args.out)


def _dataset(args: argparse.Namespace) -> None:
    from clipinverter.portraits.dataset import write

    write(args.directory, args.count, args.size, args.seed, args.processes)


if __name__ == "__main__":
    sys.exit(main())
