"""Command line: `python -m clipinverter edit photo.png "a smiling woman" -o out.png`."""

import argparse
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m clipinverter", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    edit = commands.add_parser("edit", help="edit a picture by text")
    edit.add_argument("photo", help="a portrait, any common format")
    edit.add_argument("prompt", help='the wanted look, e.g. "a smiling woman with red hair"')
    edit.add_argument("-o", "--output", required=True, help="where to write the PNG")
    edit.add_argument("--strength", type=float, default=1.0, help="0 to 2; 1 is the paper's edit")
    edit.add_argument(
        "--align", choices=("auto", "none"), default="auto", help="none: it is an aligned face"
    )
    edit.add_argument(
        "--face", type=int, default=0, help="if there are several: 0 is the largest, 1 the next"
    )
    edit.add_argument("--paste", action="store_true", help="put the face back into the photo")
    edit.add_argument("--domain", default="portraits", help="which model")
    options = parser.parse_args(arguments)
    return _edit(options)


def _edit(options: argparse.Namespace) -> int:
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
        edit = editor.edit(inversion, options.prompt, options.strength)
        image = paste(photo, inversion, edit.image) if options.paste else edit.image
        info = {"method": METHOD, "model": domain.name}
        info |= {"prompt": edit.prompt, "strength": edit.strength}
        save_png(sign(image, info), options.output)
    except (PhotoError, PromptError, StrengthError, CheckpointError, DomainError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
