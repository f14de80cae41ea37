"""The vocabulary of captions and prompts: for every attribute, how people say it.

In a phrase `{their}` and `{them}` stand for the pronoun; in hair styles `{}` stands for colour and texture.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Words:
    """How an attribute is said.

    adjective: stands before the noun. having: after "with" or "has". wearing: after "wearing" or "with".
    doing: after "is" or on its own. setting: a background. command: asks for the change.
    """

    adjective: tuple[str, ...] = ()
    having: tuple[str, ...] = ()
    wearing: tuple[str, ...] = ()
    doing: tuple[str, ...] = ()
    setting: tuple[str, ...] = ()
    command: tuple[str, ...] = ()


def _words(**phrases: str) -> Words:
    return Words(**{kind: _split(text) for kind, text in phrases.items()})


def _split(text: str) -> tuple[str, ...]:
    return tuple(phrase.strip() for phrase in text.split(","))


WOMAN = ("woman", "lady", "female", "female person")
MAN = ("man", "guy", "male", "gentleman", "male person")
FACES = ("face", "human face")  # has no eyes to be "who has", and no skin colour as an adjective
ANYBODY = ("person", "individual", "adult", *FACES)
OF_PEOPLE = ("black", "white")  # said of people; alone they could mean hair or clothes

WORDS: dict[str, Words] = {
    "young": _words(
        adjective="young, youthful, younger",
        having="a youthful face, young skin",
        doing="in {their} twenties",
        command="make {them} look younger",
    ),
    "middle-aged": _words(
        adjective="middle-aged, mature", having="a middle-aged face", doing="in {their} forties"
    ),
    "old": _words(
        adjective="old, elderly, aged, older, senior, wrinkled",
        having="wrinkles, an old face, wrinkled skin, aged skin",
        command="make {them} look older, add wrinkles",
    ),
    "pale skin": _words(
        adjective="pale, fair-skinned, light-skinned, white",
        having="pale skin, fair skin, light skin, a pale complexion",
    ),
    "dark skin": _words(
        adjective="dark-skinned, black, brown-skinned",
        having="dark skin, deep brown skin, a dark complexion, black skin",
    ),
    "thin face": _words(
        adjective="thin, slim, skinny",
        having="a thin face, a slim face, hollow cheeks, a narrow face",
    ),
    "chubby": _words(
        adjective="chubby, fat, plump, overweight",
        having="a chubby face, full cheeks, a round face, chubby cheeks, a double chin",
    ),
    "small nose": _words(having="a small nose, a little nose, a tiny nose"),
    "big nose": _words(having="a big nose, a large nose, a wide nose, a prominent nose"),
    "thin lips": _words(having="thin lips, narrow lips"),
    "big lips": _words(having="big lips, full lips, thick lips, plump lips"),
    "bald": _words(
        adjective="bald, bald-headed, hairless",
        having="a bald head, no hair, a shaved head, a bald scalp",
        command="remove the hair, shave {their} head",
    ),
    "mouth open": _words(
        adjective="open-mouthed",
        having="an open mouth, {their} mouth open, the mouth slightly open, parted lips",
        doing="opening {their} mouth",
        command="open {their} mouth, open the mouth",
    ),
    "closed mouth": _words(
        having="a closed mouth, {their} mouth closed, closed lips",
        command="close {their} mouth, close the mouth",
    ),
    "neutral expression": _words(
        adjective="expressionless",
        having="a neutral expression, a straight face, a calm face",
        doing="not smiling",
        command="remove the smile",
    ),
    "smiling": _words(
        adjective="smiling, happy, cheerful, grinning",
        having="a smile, a big smile, a happy face, a happy expression, a wide smile, a grin",
        doing="smiling, grinning, laughing, smiling happily",
        command="make {them} smile, add a smile",
    ),
    "sad": _words(
        adjective="sad, unhappy, gloomy",
        having="a sad face, a sad expression, a frown",
        doing="frowning, looking sad, looking unhappy",
        command="make {them} frown, make {them} look sad",
    ),
    "angry": _words(
        adjective="angry, furious, mad",
        having="an angry face, an angry expression, a furious look",
        doing="looking angry, scowling",
        command="make {them} look angry",
    ),
    "surprised": _words(
        adjective="surprised, shocked, astonished",
        having="a surprised face, a surprised expression, raised eyebrows",
        doing="looking surprised, looking shocked",
        command="make {them} look surprised",
    ),
    "clean-shaven": _words(
        adjective="clean-shaven, beardless",
        having="no beard, no facial hair, a clean-shaven face, a shaved face",
        doing="without a beard",
        command="remove the beard, shave off the beard",
    ),
    "stubble": _words(
        adjective="unshaven, stubbly",
        having="stubble, a five o'clock shadow, a light stubble beard, facial stubble",
    ),
    "moustache": _words(adjective="mustached", having="a moustache, a mustache, a thick moustache"),
    "goatee": _words(having="a goatee, a goatee beard, a chin beard"),
    "beard": _words(
        adjective="bearded",
        having="a beard, a full beard, a thick beard, a big beard, a bushy beard",
        command="add a beard, grow a beard",
    ),
    "thin eyebrows": _words(having="thin eyebrows, fine eyebrows, plucked eyebrows"),
    "bushy eyebrows": _words(having="bushy eyebrows, thick eyebrows, heavy eyebrows, big eyebrows"),
    "arched eyebrows": _words(having="arched eyebrows, high eyebrows, curved eyebrows"),
    "brown eyes": _words(adjective="brown-eyed", having="brown eyes, dark eyes"),
    "blue eyes": _words(adjective="blue-eyed", having="blue eyes, bright blue eyes"),
    "green eyes": _words(adjective="green-eyed", having="green eyes"),
    "no glasses": _words(
        wearing="no glasses, no eyeglasses",
        doing="not wearing glasses, without glasses",
        command="remove the glasses, take off the glasses",
    ),
    "eyeglasses": _words(
        wearing="glasses, eyeglasses, a pair of glasses, reading glasses", command="put on glasses"
    ),
    "sunglasses": _words(
        wearing="sunglasses, dark glasses, a pair of sunglasses, shades",
        command="put on sunglasses",
    ),
    "hat": _words(wearing="a hat, a cap, a beanie", command="put on a hat"),
    "no hat": _words(
        wearing="no hat",
        doing="not wearing a hat, without a hat",
        command="remove the hat, take off the hat",
    ),
    "earrings": _words(wearing="earrings, a pair of earrings, gold earrings"),
    "no earrings": _words(
        wearing="no earrings",
        doing="not wearing earrings, without earrings",
        command="remove the earrings",
    ),
    "lipstick": _words(
        having="red lips, painted lips", wearing="lipstick, red lipstick", command="put on lipstick"
    ),
    "heavy makeup": _words(wearing="heavy makeup, makeup, eye shadow, a lot of makeup"),
    "no makeup": _words(
        wearing="no makeup, no make-up",
        doing="not wearing makeup, without makeup",
        command="remove the makeup",
    ),
    "rosy cheeks": _words(
        adjective="blushing, rosy-cheeked",
        having="rosy cheeks, red cheeks, pink cheeks, flushed cheeks",
        doing="blushing",
        command="make {them} blush",
    ),
    "freckles": _words(adjective="freckled", having="freckles, a freckled face, freckled cheeks"),
    "turned left": _words(
        having="{their} head turned to the left",
        doing="looking left, looking to the left, facing left",
        command="turn {their} head to the left",
    ),
    "turned right": _words(
        having="{their} head turned to the right",
        doing="looking right, looking to the right, facing right",
        command="turn {their} head to the right",
    ),
    "dark background": _words(
        setting="a dark background, a black background", command="make the background dark"
    ),
    "bright background": _words(
        setting="a bright background, a light background", command="make the background bright"
    ),
    "t-shirt": _words(wearing="a t-shirt"),
    "shirt": _words(wearing="a shirt, a shirt with a collar, a collared shirt"),
    "turtleneck": _words(wearing="a turtleneck, a turtleneck sweater, a sweater"),
    "bangs": _words(having="bangs, a fringe, bangs over the forehead"),
    "receding hairline": _words(
        adjective="balding", having="a receding hairline, a high forehead, thinning hair"
    ),
}

# Hair is said as one phrase: "long wavy red hair", "a blond bob", "black hair tied in a bun".
COLOURS = {
    "black hair": ("black", "jet black", "dark", "raven"),
    "brown hair": ("brown", "brunette", "chestnut", "dark brown"),
    "blond hair": ("blond", "blonde", "golden", "fair", "light blond"),
    "red hair": ("red", "ginger", "copper", "orange"),
    "gray hair": ("gray", "grey", "silver", "graying"),
    "white hair": ("white", "snow white", "platinum white"),
    "blue hair": ("blue", "dyed blue", "bright blue"),
    "pink hair": ("pink", "dyed pink", "hot pink"),
    "green hair": ("green", "dyed green", "bright green"),
    "purple hair": ("purple", "violet", "dyed purple"),
}
TEXTURES = {
    "straight hair": ("straight", "smooth", "sleek"),
    "wavy hair": ("wavy", "waved", "slightly curled"),
    "curly hair": ("curly", "frizzy", "curled", "kinky"),
}
LENGTHS = {
    "short hair": ("short", "cropped", "short-cut"),
    "long hair": ("long", "very long", "shoulder-length long"),
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
    "curly hair": ("curly-haired",),
}
"""One property of hair as an adjective of the person."""

UNSEEN: dict[str, tuple[str, ...]] = {
    "old": ("a grandparent", "a pensioner", "an ageing person", "a very aged face"),
    "young": ("a youngster", "a person in early adulthood", "a youth"),
    "woman": ("a feminine face", "a madam"),
    "man": ("a masculine face", "a fellow", "a bloke"),
    "smiling": ("a joyful person", "a delighted expression", "beaming", "a cheery grin"),
    "sad": ("a sorrowful face", "a depressed look", "miserable"),
    "angry": ("an enraged face", "a hostile expression", "irate"),
    "surprised": ("an amazed face", "a startled look", "stunned"),
    "eyeglasses": ("spectacles", "wearing spectacles"),
    "sunglasses": ("tinted glasses", "black shades"),
    "hat": ("headwear", "wearing headgear"),
    "beard": ("whiskers", "a hairy chin"),
    "bald": ("a hairless scalp", "without any hair"),
    "red hair": ("auburn hair", "reddish hair"),
    "blond hair": ("flaxen hair", "yellow hair"),
    "gray hair": ("greyish hair", "ashen hair"),
    "purple hair": ("lilac hair", "magenta hair"),
    "long hair": ("lengthy hair", "hair that flows down"),
    "curly hair": ("ringlets", "wiry curls"),
    "chubby": ("an obese face", "a stout person"),
    "dark skin": ("ebony skin", "an African complexion"),
    "lipstick": ("lip gloss", "coloured lips"),
    "earrings": ("ear jewellery", "ear studs"),
}
"""Synonyms that training never uses, to measure how far the text-image model carries over to new words."""
