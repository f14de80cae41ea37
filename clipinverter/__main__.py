"""Command line: `python -m clipinverter edit|compare photo.png "a smiling woman" -o out.png`.

`edit FOLDER --prompt "a smiling woman" -o FOLDER` edits every picture of a folder.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clipinverter.batch import Wish
    from clipinverter.domains import Domain
    from clipinverter.editor import Editor
    from clipinverter.results import Inversion


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m clipinverter", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    edit = commands.add_parser("edit", help="edit a picture, or all pictures of a folder, by text")
    edit.add_argument("photo", help="a picture of any common format, or a folder of pictures")
    edit.add_argument("prompt", nargs="?", help='e.g. "a smiling woman with red hair"')
    edit.add_argument("--prompt", dest="words", metavar="PROMPT", help="the same, as an option")
    edit.add_argument("-o", "--output", required=True, help="the PNG, or the folder for the PNGs")
    edit.add_argument("--paste", action="store_true", help="put the face back into the photo")
    compare = commands.add_parser("compare", help="the same edit by StyleCLIP's three methods too")
    compare.add_argument("photo", help="a portrait, any common format")
    compare.add_argument("prompt", help='the wanted look, e.g. "a smiling woman with red hair"')
    compare.add_argument("-o", "--output", required=True, help="where to write the PNG")
    for command in (edit, compare):
        command.add_argument("--strength", type=float, default=1.0, help="0 to 2; 1: as published")
        command.add_argument(
            "--align", choices=("auto", "none"), default="auto", help="none: it is an aligned face"
        )
        command.add_argument(
            "--face", type=int, default=0, help="if there are several: 0 is the largest, 1 the next"
        )
        command.add_argument(
            "--plain",
            action="store_true",
            help="as published: the generator is not tuned to the photo",
        )
        command.add_argument(
            "--no-detail", action="store_true", help="do not give the photo's own detail back"
        )
        command.add_argument("--domain", default="portraits", help="which model")
    download = commands.add_parser("download", help="fetch the authors' model and convert it")
    download.add_argument("domain", help="faces")
    download.add_argument(
        "--from", dest="source", metavar="DIR", help="take files from here, the rest from the net"
    )
    download.add_argument("--half", action="store_true", help="store half the bits")
    convert = commands.add_parser("convert", help="prepare a domain of your own for training")
    convert.add_argument("domain", help="its name in domains.py")
    convert.add_argument(
        "--from", dest="source", metavar="DIR", required=True, help="where its published files are"
    )
    options = parser.parse_args(arguments)
    if options.command == "edit":
        if (options.prompt is None) == (options.words is None):
            edit.error("the prompt is needed once, after the picture or by --prompt")
        options.prompt = options.prompt if options.words is None else options.words
    if options.command == "download":
        return _download(options)
    if options.command == "convert":
        return _convert(options)
    return _run(options)


def _run(options: argparse.Namespace) -> int:
    from clipinverter.batch import Wish, edit_photo
    from clipinverter.domains import DomainError, get_domain
    from clipinverter.editor import Editor
    from clipinverter.photo.load import PhotoError, load_photo
    from clipinverter.photo.metadata import save_png
    from clipinverter.request import PromptError, StrengthError, check_prompt, check_strength
    from clipinverter.weights.files import CheckpointError
    from clipinverter.weights.load import load_models

    try:
        prompt, strength = check_prompt(options.prompt), check_strength(options.strength)
        domain = get_domain(options.domain)
        if options.command == "compare":
            photo = load_photo(options.photo)
            editor = Editor(load_models(domain))
            inversion = editor.invert(photo, options.align, face=options.face)
            if not options.plain and editor.needs_tuning(inversion):
                inversion = editor.tune(inversion, detail=not options.no_detail)
            _compare(editor, inversion, options)
            return 0
        if options.paste and not domain.aligned:
            raise DomainError(f"The model {domain.name!r} knows no faces to put back.")
        wish = Wish(
            prompt, strength, options.align, options.face, options.paste,
            not options.plain, not options.no_detail,
        )  # fmt: skip
        if Path(options.photo).is_dir():
            _edit_folder(domain, wish, options)
            return 0
        photo = load_photo(options.photo)  # before the models: a wrong path is said at once
        save_png(edit_photo(Editor(load_models(domain)), photo, wish), options.output)
    except (PhotoError, PromptError, StrengthError, CheckpointError, DomainError, OSError) as error:
        if _is_first():
            print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _edit_folder(domain: "Domain", wish: "Wish", options: argparse.Namespace) -> None:
    """Edits every picture of the folder; prints how many."""
    from clipinverter.batch import MANIFEST, edit_folder

    result = edit_folder(domain, Path(options.photo), Path(options.output), wish)
    if _is_first():
        print(
            f"{result.edited} edited, {result.skipped} there already, {result.failed} failed: "
            f"see {Path(options.output) / MANIFEST}"
        )


def _is_first() -> bool:
    """Whether this is the process that speaks, of those that a launcher started."""
    return os.environ.get("RANK", "0") == "0"


def _download(options: argparse.Namespace) -> int:
    from clipinverter.domains import DomainError, get_domain
    from clipinverter.weights.download import download
    from clipinverter.weights.files import CheckpointError

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


def _convert(options: argparse.Namespace) -> int:
    from clipinverter.domains import DomainError, get_domain
    from clipinverter.weights.convert import convert_own
    from clipinverter.weights.files import CheckpointError

    try:
        domain = get_domain(options.domain)
        convert_own(Path(options.source), domain, lambda part: print(f"Converting the {part}"))
    except (CheckpointError, DomainError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _compare(editor: "Editor", inversion: "Inversion", options: argparse.Namespace) -> None:
    """Writes the sheet; prints a line for each method."""
    from clipinverter.methods.comparison import Comparison
    from clipinverter.methods.names import TITLES
    from clipinverter.methods.report import draw, lines

    *_, cards = Comparison(editor).run(inversion, options.prompt, options.strength)
    draw(inversion, options.prompt, cards).save(options.output, format="PNG")
    for card in cards:
        print(f"{TITLES[card.method]}: {' · '.join(lines(card))}")


if __name__ == "__main__":
    sys.exit(main())
