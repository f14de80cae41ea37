"""Folders of pictures: where the edit of each one goes."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from clipinverter.errors import UsageError


class FolderError(UsageError):
    """The edits of a folder can't go where they were to go; the message says why."""


def outputs(folder: Path, pictures: Sequence[Path]) -> list[str]:
    """Where each picture's edit goes: a/b.png for a/b.jpg, or a/b.jpg.png where there is an a/b.webp too.

    No two are the same, also where upper and lower case are one, and none is a folder that another one needs:
    where these names do not suffice, a number is added.
    """
    places = [path.relative_to(folder) for path in pictures]
    count = Counter(_folded(place.with_suffix("")) for place in places)
    taken = {_folded(parent) for place in places for parent in place.parents}
    found = []
    for place in places:
        alone = count[_folded(place.with_suffix(""))] == 1
        names = [place.with_suffix(".png").name] if alone else []
        names += [
            f"{place.name}.png",
            *(f"{place.name}-{n}.png" for n in range(2, len(places) + 3)),
        ]
        free = (place.with_name(name) for name in names)
        chosen = next(path for path in free if _folded(path) not in taken)
        taken.add(_folded(chosen))
        found.append(chosen.as_posix())
    return found


def check_apart(folder: Path, out: Path) -> None:
    """Raises FolderError where edits of `folder` can't go to `out`."""
    if out == folder or out in folder.parents:
        where = (
            "the folder of the pictures" if out == folder else "above the folder of the pictures"
        )
        raise FolderError(
            f"The edits can't go to {out}: that is {where}. Choose another folder by -o, such as "
            f"{folder / 'edited'}."
        )
    if out.exists() and not out.is_dir():
        raise FolderError(f"The edits can't go to {out}: that is a file. Choose a folder by -o.")


def printable(text: str) -> str:
    """The text with what no terminal can show, such as a line break, written as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _folded(path: Path) -> str:
    return path.as_posix().casefold()
