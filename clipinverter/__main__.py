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
    options = parser.parse_args(arguments)
    from clipinverter.checkpoints import CheckpointError
    from clipinverter.domains import get_domain
    from clipinverter.editor import Editor
    from clipinverter.loading import load_models
    from clipinverter.photos import PhotoError
    from clipinverter.request import PromptError, StrengthError, check_prompt, check_strength

    try:
        check_prompt(options.prompt)
        check_strength(options.strength)
        editor = Editor(load_models(get_domain("portraits")))
        inversion = editor.invert(options.photo, options.align)
        result = editor.edit(inversion, options.prompt, options.strength)
        result.image.save(options.output, format="PNG")
    except (PhotoError, PromptError, StrengthError, CheckpointError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
