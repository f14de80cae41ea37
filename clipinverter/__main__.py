"""Command line: `python -m clipinverter edit|compare photo.png "a smiling woman" -o out.png`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clipinverter.editor import Editor
    from clipinverter.results import Inversion


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m clipinverter", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    edit = commands.add_parser("edit", help="edit a picture by text")
    edit.add_argument("--paste", action="store_true", help="put the face back into the photo")
    compare = commands.add_parser("compare", help="the same edit by StyleCLIP's three methods too")
    for command in (edit, compare):
        command.add_argument("photo", help="a portrait, any common format")
        command.add_argument("prompt", help='the wanted look, e.g. "a smiling woman with red hair"')
        command.add_argument("-o", "--output", required=True, help="where to write the PNG")
        command.add_argument("--strength", type=float, default=1.0, help="0 to 2; 1: as published")
        command.add_argument(
            "--align", choices=("auto", "none"), default="auto", help="none: it is an aligned face"
        )
        command.add_argument(
            "--face", type=int, default=0, help="if there are several: 0 is the largest, 1 the next"
        )
        command.add_argument("--domain", default="portraits", help="which model")
    download = commands.add_parser("download", help="fetch the authors' model and convert it")
    download.add_argument("domain", help="faces")
    download.add_argument(
        "--from", dest="source", metavar="DIR", help="take files from here, the rest from the net"
    )
    download.add_argument("--half", action="store_true", help="store half the bits")
    options = parser.parse_args(arguments)
    if options.command == "download":
        return _download(options)
    return _run(options)


def _run(options: argparse.Namespace) -> int:
    from clipinverter.checkpoints import CheckpointError
    from clipinverter.domains import DomainError, get_domain
    from clipinverter.editor import Editor
    from clipinverter.loading import load_models
    from clipinverter.origin import METHOD, save_png, sign
    from clipinverter.paste import paste
    from clipinverter.photos import PhotoError, load_photo
    from clipinverter.request import PromptError, StrengthError, check_prompt, check_strength

    try:
        check_prompt(options.prompt)
        check_strength(options.strength)
        domain = get_domain(options.domain)
        photo = load_photo(options.photo)
        editor = Editor(load_models(domain))
        inversion = editor.invert(photo, options.align, face=options.face)
        if options.command == "compare":
            _compare(editor, inversion, options)
            return 0
        edit = editor.edit(inversion, options.prompt, options.strength)
        image = paste(photo, inversion, edit.image) if options.paste else edit.image
        info = {"method": METHOD, "model": domain.name}
        info |= {"prompt": edit.prompt, "strength": edit.strength}
        save_png(sign(image, info), options.output)
    except (PhotoError, PromptError, StrengthError, CheckpointError, DomainError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _download(options: argparse.Namespace) -> int:
    from clipinverter.checkpoints import CheckpointError
    from clipinverter.domains import DomainError, get_domain
    from clipinverter.download import download

    try:
        source = Path(options.source) if options.source else None
        download(get_domain(options.domain), source, options.half)
    except (CheckpointError, DomainError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. The same command goes on from there.", file=sys.stderr)
        return 130
    return 0


def _compare(editor: "Editor", inversion: "Inversion", options: argparse.Namespace) -> None:
    """Writes the sheet; prints a line for each method."""
    from clipinverter.styleclip.comparison import Comparison
    from clipinverter.styleclip.names import TITLES
    from clipinverter.styleclip.sheets import draw, lines

    *_, cards = Comparison(editor).run(inversion, options.prompt, options.strength)
    draw(inversion, options.prompt, cards).save(options.output, format="PNG")
    for card in cards:
        print(f"{TITLES[card.method]}: {' · '.join(lines(card))}")


if __name__ == "__main__":
    sys.exit(main())
