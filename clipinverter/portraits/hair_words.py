"""Phrases about hair; `{}` in hair styles stands for colour and texture."""

from __future__ import annotations


def split(text: str) -> tuple[str, ...]:
    """The phrases of a comma-separated list."""
    return tuple(phrase.strip() for phrase in text.split(","))


# All attributes of hair form one phrase: "long wavy red hair", "a blond bob", "black hair tied in a bun".
COLOURS = {
    "black hair": split("black, jet black, dark, raven, pitch black, coal black, inky, onyx"),
    "brown hair": split(
        "brown, brunette, chestnut, dark brown, light brown, chocolate, hazel, brownish, "
        "caramel, coffee, walnut, mousy"
    ),
    "blond hair": split(
        "blond, blonde, golden, fair, light blond, sandy, honey, straw, wheat, golden blond, "
        "bleached, sunny, peroxide, light golden, lemon, straw blond"
    ),
    "red hair": split(
        "red, ginger, copper, orange, bright red, crimson, scarlet, rust, burgundy, ruby, "
        "fiery, flaming, rusty, russet, cherry red, carrot, maroon, titian, dyed red, dark red, "
        "coppery, copper red"
    ),
    "gray hair": split(
        "gray, grey, silver, graying, silvery, steel gray, slate, salt-and-pepper, smoky, ash "
        "gray, pewter, grizzled, dull gray, dark gray, light gray"
    ),
    "white hair": split(
        "white, snow white, platinum white, snowy, pure white, ivory, pearly, milk white, frosty"
    ),
    "blue hair": split(
        "blue, dyed blue, bright blue, dark blue, light blue, navy, azure, turquoise, cobalt, "
        "sapphire, indigo, electric blue, sky blue, cyan, teal"
    ),
    "pink hair": split(
        "pink, dyed pink, hot pink, rose, light pink, fuchsia, salmon, bubblegum, rosy, neon "
        "pink, pastel pink"
    ),
    "green hair": split(
        "green, dyed green, bright green, dark green, emerald, lime, mint, olive, neon green, jade"
    ),
    "purple hair": split(
        "purple, violet, dyed purple, lavender, plum, mauve, amethyst, orchid, dark purple, "
        "light purple, bright purple, eggplant, grape"
    ),
}
TEXTURES = {
    "straight hair": split("straight, smooth, sleek, flat, ironed, poker-straight, lank"),
    "wavy hair": split("wavy, waved, slightly curled, softly waved, rippling, undulating"),
    "curly hair": split(
        "curly, frizzy, curled, kinky, tightly curled, permed, coiled, very curly, spiralling, "
        "corkscrew, frizzled, kinked"
    ),
}
LENGTHS = {
    "short hair": split("short, cropped, short-cut, very short, trimmed, clipped"),
    "long hair": split(
        "long, very long, shoulder-length long, flowing, long flowing, waist-length, longer, "
        "extremely long, long hanging"
    ),
}
STYLES = {
    "bob": (
        "{} bob",
        "{} hair in a bob",
        "chin-length {} hair",
        "{} bob cut",
        "medium-length {} hair",
    ),
    "bun": ("{} hair in a bun", "{} hair tied up", "{} hair tied in a bun", "a bun of {} hair"),
}
HAIR = {**COLOURS, **TEXTURES, **LENGTHS, **STYLES}

HAIRED: dict[str, tuple[str, ...]] = {
    "blond hair": ("blond", "blonde", "blond-haired"),
    "red hair": ("red-haired", "redheaded", "ginger"),
    "black hair": ("black-haired", "dark-haired"),
    "brown hair": ("brown-haired", "brunette"),
    "gray hair": ("gray-haired", "grey-haired"),
    "white hair": ("white-haired",),
    "long hair": ("long-haired",),
    "short hair": ("short-haired",),
    "curly hair": ("curly-haired", "frizzy-haired"),
    "blue hair": ("blue-haired",),
    "pink hair": ("pink-haired",),
    "green hair": ("green-haired",),
    "purple hair": ("purple-haired",),
}
"""One property of hair as an adjective of the person."""
