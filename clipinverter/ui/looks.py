"""A comparison as page and endpoint see it: the photo is learned first, then all methods edit it."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from threading import Event
from typing import TYPE_CHECKING, Any, NamedTuple

from PIL import Image

from clipinverter.methods.names import TITLES
from clipinverter.request import Request
from clipinverter.ui import api

if TYPE_CHECKING:
    from clipinverter.editor import Editor
    from clipinverter.methods.comparison import Card, Comparison


class Look(NamedTuple):
    """A look at a comparison.

    Attributes:
        before: the picture that all methods edit, or the whole photo.
        after: what there is to see of each method; None where there is nothing yet.
        cards: of all methods.
        learning: the share of learning the photo that is done, 0 to 1; 1 where it needs none.
        trained: prompts that the latent mapper has a network for.
    """

    before: Image.Image
    after: dict[str, Image.Image | None]
    cards: "Sequence[Card]"
    inversion: Any
    learning: float = 1.0
    trained: Sequence[str] = ()


@lru_cache(maxsize=1)
def _comparison(editor: "Editor") -> "Comparison":
    """Kept, since the methods keep what they found."""
    from clipinverter.methods.comparison import Comparison

    return Comparison(editor)


def looks(
    get_editor: api.GetEditor,
    request: Request,
    stop: Event | None = None,
    styleclip: Any = None,
) -> Iterator[Look]:
    """The comparison from the first look to the last one. Raises UserError.

    styleclip: settings of StyleCLIP's methods as `settings.adjusted` takes them; None: the model's own.
    """
    from clipinverter.methods.base import Stopped
    from clipinverter.methods.comparison import Card
    from clipinverter.methods.latent_mapper import trained_prompts
    from clipinverter.methods.settings import adjusted, settings_of

    stop = stop or Event()
    settings = None
    if styleclip is not None:
        settings = adjusted(settings_of(get_editor().models.domain), styleclip)
    opened = api.open_request(get_editor, request)
    inversion = opened.inversion
    if opened.learnable:
        cards, nothing = [Card(name) for name in TITLES], dict.fromkeys(TITLES)
        try:
            for news in api.learning(opened, stop.is_set):
                inversion = news.inversion or inversion
                if not news.inversion:
                    yield Look(inversion.image, nothing, cards, inversion, news.progress)
        except Stopped:
            cards = [Card(name, "stopped") for name in TITLES]
            yield Look(inversion.image, nothing, cards, inversion)
            return
    before = opened.photo if request.paste else inversion.unedited
    pasted: dict[str, Image.Image] = {}

    def after(card: Card) -> Image.Image | None:
        if not request.paste:
            return card.image
        if card.edit and card.method not in pasted:
            pasted[card.method] = opened.editor.paste(opened.photo, card.edit).image
        return pasted.get(card.method)

    comparison = _comparison(opened.editor)
    trained = tuple(trained_prompts(comparison.methods["mapper"].folder))
    run = comparison.run(inversion, request.prompt, request.strength, stop, settings)
    try:
        for cards in run:
            seen = {card.method: after(card) for card in cards}
            yield Look(before, seen, cards, inversion, trained=trained)
    finally:
        run.close()
