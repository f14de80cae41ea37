"""Command line: `python -m clipinverter edit|compare photo.png "a smiling woman" -o out.png`.

`edit FOLDER --prompt "a smiling woman" -o FOLDER` edits every picture of a folder.

Exit status: 0 when all was done, 1 when a picture or the machine failed, 2 when the command makes no sense.
"""

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from clipinverter.errors import UsageError, UserError

if TYPE_CHECKING:
    from clipinverter.batch import Result
    from clipinverter.editor import Editor
    from clipinverter.results import Inversion


class _Parser(argparse.ArgumentParser):
    """Explains what to do about words that begin with a dash."""

    def error(self, message: str) -> NoReturn:
        if any(sign in message for sign in ("unrecognized", "required", "expected", "needed")):
            message += (
                '. If a prompt or a name begins with "-", write options first, then "--", then those: '
                'edit -o out.png -- photo.png "-beard"'
            )
        super().error(message)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; returns the exit status."""
    _say_anything()
    options = _parse(arguments)
    commands = {
        "edit": _edit, "compare": _compare_photo, "download": _download, "convert": _convert
    }  # fmt: skip
    try:
        return commands[options.command](options)
    except (UserError, OSError) as error:
        if _is_first():
            print(f"error: {_said(error)}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    except KeyboardInterrupt:
        print("\nStopped. The same command goes on from there.", file=sys.stderr)
        return 130


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = _Parser(
        prog="python -m clipinverter",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    edit = commands.add_parser("edit", help="edit a picture, or all pictures of a folder, by text")
    edit.add_argument("photo", help="a picture of any common format, or a folder of pictures")
    edit.add_argument(
        "prompt",
        nargs="?",
        help='e.g. "a smiling woman with red hair"; one that begins with a dash goes after "--"',
    )
    edit.add_argument("--prompt", dest="words", metavar="PROMPT", help="the same, as an option")
    edit.add_argument(
        "-o", "--output", required=True,
        help="the picture, .png, .jpg or .webp, or the folder for the PNGs",
    )  # fmt: skip
    edit.add_argument("--paste", action="store_true", help="put the face back into the photo")
    compare = commands.add_parser("compare", help="the same edit by StyleCLIP's three methods too")
    compare.add_argument("photo", help="a portrait, any common format")
    compare.add_argument("prompt", help='the wanted look, e.g. "a smiling woman with red hair"')
    compare.add_argument("-o", "--output", required=True, help="where to write the picture")
    _add_settings(compare)
    for command in (edit, compare):
        command.add_argument(
            "--strength",
            default="1",
            help="-2 to 2; 1: normal, as published with --plain; below 0: the opposite",
        )
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
    return options


def _add_settings(compare: argparse.ArgumentParser) -> None:
    """The settings of StyleCLIP's methods, see `methods.settings.adjusted`."""
    from clipinverter.methods.settings import RANGES, TEXTS

    meanings = {
        "neutral": "global direction: the text that the edit starts from",
        "target": "global direction: the text that it leads to (default: the prompt)",
        "alpha": "global direction: size of the change at strength 1",
        "beta": "global direction: threshold of a channel's relevance (default: automatic)",
        "steps": "latent optimisation: number of steps",
        "l2": "latent optimisation: weight of the distance in W+",
        "identity": "latent optimisation: weight of the identity loss",
    }
    for name, meaning in meanings.items():
        kind = str if name in TEXTS else float
        span = "" if name in TEXTS else "; {:g} to {:g}".format(*RANGES[name])
        compare.add_argument(f"--{name}", type=kind, help=meaning + span)


def _edit(options: argparse.Namespace) -> int:
    from clipinverter.batch import Job, edit_folder, edit_photo
    from clipinverter.domains import DomainError, get_domain
    from clipinverter.editor import Editor
    from clipinverter.photo.load import load_photo
    from clipinverter.photo.metadata import format_of, save_picture
    from clipinverter.request import check_prompt, read_strength
    from clipinverter.weights.load import load_models

    photo = _path(options.photo, "of the picture or folder")
    output = _path(options.output, "after -o")
    prompt, strength = check_prompt(options.prompt), read_strength(options.strength)
    domain = get_domain(options.domain)
    if options.paste and not domain.aligned:
        raise DomainError(f"The model {domain.name!r} knows no faces to put back.")
    job = Job(
        prompt, strength, options.align, options.face, options.paste,
        not options.plain, not options.no_detail,
    )  # fmt: skip
    if photo.is_dir():
        result = edit_folder(domain, photo, output, job)
        _report(result, output)
        return 1 if result.failed else 0
    _check_file(output, photo)
    format_of(output)
    picture = load_photo(photo)  # before the models: a wrong path is said at once
    edited = edit_photo(Editor(load_models(domain)), picture, job)
    save_picture(edited.image, output)
    for remark in edited.remarks:
        print(remark)
    return 0


def _compare_photo(options: argparse.Namespace) -> int:
    from clipinverter.domains import get_domain
    from clipinverter.editor import Editor
    from clipinverter.methods.settings import RANGES, TEXTS, adjusted, settings_of
    from clipinverter.photo.load import load_photo
    from clipinverter.photo.metadata import format_of
    from clipinverter.request import check_prompt, read_strength
    from clipinverter.weights.load import load_models

    source, output = _path(options.photo, "of the picture"), _path(options.output, "after -o")
    options.prompt = check_prompt(options.prompt)
    options.strength = read_strength(options.strength)
    domain = get_domain(options.domain)
    given = {name: getattr(options, name) for name in (*TEXTS, *RANGES)}
    options.settings = adjusted(settings_of(domain), given)
    _check_file(output, source)
    format_of(output)
    photo = load_photo(source)
    editor = Editor(load_models(domain))
    inversion = editor.invert(photo, options.align, face=options.face)
    if not options.plain and editor.needs_tuning(inversion):
        inversion = editor.tune(inversion, detail=not options.no_detail)
    _compare(editor, inversion, options)
    return 0


def _report(result: "Result", output: Path) -> None:
    """Prints how many pictures of a folder were edited."""
    from clipinverter.batch import MANIFEST

    if _is_first():
        print(
            f"{result.edited} edited, {result.skipped} there already, {result.failed} failed: "
            f"see {output / MANIFEST}"
        )


def _download(options: argparse.Namespace) -> int:
    from clipinverter.domains import get_domain
    from clipinverter.weights.download import download

    source = None if options.source is None else _path(options.source, "after --from")
    download(get_domain(options.domain), source, options.half)
    return 0


def _convert(options: argparse.Namespace) -> int:
    from clipinverter.domains import get_domain
    from clipinverter.weights.convert import convert_own

    source, domain = _path(options.source, "after --from"), get_domain(options.domain)
    convert_own(source, domain, lambda part: print(f"Converting the {part}"))
    return 0


def _path(written: str, which: str) -> Path:
    """A path that somebody wrote; an empty one, as of an unset variable, would be this folder."""
    if not written.strip():
        raise UsageError(f"The path {which} is empty. If it came from a variable, is that set?")
    if "\0" in written:
        raise UsageError(f"The path {which} holds a character that no path can hold.")
    return Path(written)


def _check_file(output: Path, photo: Path) -> None:
    """Refuses an output that could only fail, or replace the picture itself."""
    if output.is_dir():
        raise UsageError(f"{output} is a folder. Add a name for the picture, such as out.png.")
    if output.exists() and not output.is_file():  # it would be replaced, even /dev/null
        raise UsageError(f"{output} is no ordinary file. Choose another name by -o.")
    with contextlib.suppress(OSError):
        if output.exists() and output.samefile(photo):
            raise UsageError(f"The edit would replace {photo} itself. Choose another name by -o.")


def _said(error: Exception) -> str:
    """An error as a sentence; the system's own begin with a number."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename2 or error.filename}: {error.strerror}."
    return str(error)


def _say_anything() -> None:
    """Lets terminals that know few characters show the others as escapes."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError):  # another object in its place
            stream.reconfigure(errors="backslashreplace")


def _is_first() -> bool:
    """Whether this is the process that speaks, of those that a launcher started."""
    return os.environ.get("RANK", "0") == "0"


def _compare(editor: "Editor", inversion: "Inversion", options: argparse.Namespace) -> None:
    """Writes the sheet; prints a line for each method."""
    from clipinverter.methods.comparison import Comparison
    from clipinverter.methods.names import TITLES
    from clipinverter.methods.report import draw, lines
    from clipinverter.photo.metadata import save_picture

    run = Comparison(editor).run(
        inversion, options.prompt, options.strength, settings=options.settings
    )
    *_, cards = run
    save_picture(draw(inversion, options.prompt, cards), options.output)
    for card in cards:
        print(f"{TITLES[card.method]}: {' · '.join(lines(card))}")


if __name__ == "__main__":
    sys.exit(main())
