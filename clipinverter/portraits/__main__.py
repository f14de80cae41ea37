"""`python -m clipinverter.portraits sheet|strips|dataset`: look at portraits, or render a set of them."""

from __future__ import annotations

import argparse


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m clipinverter.portraits", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    p = commands.add_parser("sheet", help="a contact sheet")
    p.add_argument("out")
    p.add_argument("--count", type=int, default=36)
    p.add_argument("--columns", type=int, default=6)
    p.add_argument("--size", type=int, default=192)
    p.add_argument("--seed", type=int, default=0)
    p = commands.add_parser("strips", help="every attribute before and after")
    p.add_argument("out")
    p.add_argument("--size", type=int, default=128)
    p = commands.add_parser(
        "dataset", help="a set of pictures with their latents; resumes where it stopped"
    )
    p.add_argument("directory")
    p.add_argument("--count", type=int, required=True)
    p.add_argument("--size", type=int, required=True)
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--edits", action="store_true", help="also one random edit of every scene")
    p.add_argument("--processes", type=int, default=None, help="default: one per core")
    args = parser.parse_args()

    if args.command == "sheet":
        from .sheets import sheet

        sheet(args.count, args.columns, args.size, args.seed).save(args.out)
    elif args.command == "strips":
        from .sheets import strips

        strips(args.size).save(args.out)
    else:
        from .dataset import write

        write(args.directory, args.count, args.size, args.seed, args.edits, args.processes)


if __name__ == "__main__":
    main()
