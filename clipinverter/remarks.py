"""What there is to say about an edit that was made: other faces, a prompt cut short, a turned photo."""

from typing import TYPE_CHECKING

from clipinverter.photo.faces import turn_of

if TYPE_CHECKING:
    from clipinverter.results import Edit

TRUNCATED = "The prompt is longer than the text model reads, so its end was ignored."


def remarks(edit: "Edit") -> list[str]:
    """Sentences for whoever asked on the command line; none where all is as usual."""
    inversion, found = edit.inversion, []
    if len(inversion.faces) > 1:
        last = len(inversion.faces) - 1
        found.append(
            f"There are {last + 1} faces in this picture; number {inversion.face} was edited, where "
            f"0 is the largest. Choose another one by --face, from 0 to {last}."
        )
    if inversion.faces and (degrees := turn_of(inversion.faces[inversion.face])):
        found.append(turned(degrees))
    if edit.truncated:
        found.append(TRUNCATED)
    return found


def turned(degrees: int) -> str:
    """Says that the face does not stand upright in the photo."""
    return f"The face in this picture is turned by {degrees}°; it was set upright for the edit."
