"""The vocabulary of captions and prompts: phrases for every attribute, the most common ones first. `hair_words.py` has
those for hair.

In a phrase `{their}` and `{them}` stand for the pronoun.
"""

from __future__ import annotations

from dataclasses import dataclass

from clipinverter.portraits.hair_words import split


@dataclass(frozen=True)
class Words:
    """Phrases for an attribute, by their place in a sentence.

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
    return Words(**{kind: split(text) for kind, text in phrases.items()})


WORDS: dict[str, Words] = {
    "young": _words(
        adjective="young, youthful, younger, fresh-faced, twenty-year-old",
        having="a youthful face, young skin, a fresh face, smooth young skin",
        doing="in {their} twenties",
        command="make {them} look younger, make {them} young, rejuvenate {them}",
    ),
    "middle-aged": _words(
        adjective="middle-aged, mature, forty-year-old, fifty-year-old",
        having="a middle-aged face, a mature face",
        doing="in {their} forties, in {their} fifties, of middle age",
    ),
    "old": _words(
        adjective="old, elderly, aged, older, senior, wrinkled, aging, ancient, retired, geriatric, "
        "eighty-year-old, grandmotherly, grandfatherly, wizened",
        having="wrinkles, an old face, wrinkled skin, aged skin, deep wrinkles, an elderly face, "
        "lines and wrinkles, a wizened face",
        doing="in {their} seventies, in {their} eighties, of old age, of advanced age",
        command="make {them} look older, add wrinkles, make {them} old, age {them}, "
        "turn {them} into a grandmother, turn {them} into a grandfather",
    ),
    "pale skin": _words(
        adjective="pale, fair-skinned, light-skinned, white, pale-skinned, white-skinned",
        having="pale skin, fair skin, light skin, a pale complexion, white skin, ivory skin, "
        "porcelain skin, milky skin, a pallid face",
    ),
    "dark skin": _words(
        adjective="dark-skinned, black, brown-skinned, dark-complexioned",
        having="dark skin, deep brown skin, a dark complexion, black skin, brown skin, very dark skin, "
        "chocolate skin",
    ),
    "thin face": _words(
        adjective="thin, slim, skinny, slender, lean, gaunt, bony",
        having="a thin face, a slim face, hollow cheeks, a narrow face, a slender face, a lean face, "
        "sunken cheeks, a gaunt face",
    ),
    "chubby": _words(
        adjective="chubby, fat, plump, overweight, heavy, round-faced, pudgy, heavyset, tubby, chunky",
        having="a chubby face, full cheeks, a round face, chubby cheeks, a double chin, a fat face, "
        "a plump face, puffy cheeks, a fleshy face",
    ),
    "small nose": _words(
        having="a small nose, a little nose, a tiny nose, a petite nose, a button nose"
    ),
    "big nose": _words(
        having="a big nose, a large nose, a wide nose, a prominent nose, a huge nose, a broad nose"
    ),
    "thin lips": _words(having="thin lips, narrow lips, slim lips"),
    "big lips": _words(
        having="big lips, full lips, thick lips, plump lips, pouty lips, fuller lips"
    ),
    "bald": _words(
        adjective="bald, bald-headed, hairless, smooth-headed",
        having="a bald head, no hair, a shaved head, a bald scalp, a shaven head, no hair at all",
        doing="without hair, bald on top",
        command="remove the hair, shave {their} head, make {them} bald, shave off {their} hair",
    ),
    "mouth open": _words(
        adjective="open-mouthed",
        having="an open mouth, {their} mouth open, the mouth slightly open, parted lips, "
        "a wide open mouth, a gaping mouth",
        doing="opening {their} mouth",
        command="open {their} mouth, open the mouth",
    ),
    "closed mouth": _words(
        having="a closed mouth, {their} mouth closed, closed lips, {their} mouth shut",
        command="close {their} mouth, close the mouth",
    ),
    "neutral expression": _words(
        adjective="expressionless, emotionless, composed",
        having="a neutral expression, a straight face, a calm face, no expression, a blank expression, "
        "a neutral face",
        doing="not smiling, showing no emotion",
        command="remove the smile, make {them} look neutral",
    ),
    "smiling": _words(
        adjective="smiling, happy, cheerful, grinning, glad, merry, pleased, jolly, amused, "
        "joyous, gleeful, jovial, radiant, overjoyed",
        having="a smile, a big smile, a happy face, a happy expression, a wide smile, a grin, a laugh, "
        "a bright smile, a broad smile, a cheerful look, a pleased expression, a merry face, "
        "an amused look, a glowing smile",
        doing="smiling, grinning, laughing, smiling happily, looking happy, looking cheerful, chuckling, "
        "giggling, glowing with happiness",
        command="make {them} smile, add a smile, make {them} happy, make {them} laugh, cheer {them} up",
    ),
    "sad": _words(
        adjective="sad, unhappy, gloomy, upset, tearful, glum, mournful, heartbroken, melancholic, "
        "dejected, downcast, wretched, despairing",
        having="a sad face, a sad expression, a frown, sad eyes, an unhappy face, a mournful face, "
        "a gloomy look, a melancholy expression, grief in {their} face, a grieving look",
        doing="frowning, looking sad, looking unhappy, looking upset, crying, weeping, looking gloomy, "
        "full of sorrow, in despair, in misery",
        command="make {them} frown, make {them} look sad, make {them} sad, make {them} cry",
    ),
    "angry": _words(
        adjective="angry, furious, mad, annoyed, raging, irritated, aggressive, outraged, livid, cross, "
        "fuming, infuriated, grumpy, wrathful, threatening",
        having="an angry face, an angry expression, a furious look, an aggressive look, a scowl, "
        "an annoyed expression, an irritated face, a furious face, rage in {their} face, a menacing look, "
        "an unfriendly expression",
        doing="looking angry, scowling, looking furious, glaring, looking annoyed, raging, full of rage, "
        "full of hatred",
        command="make {them} look angry, make {them} angry, make {them} mad",
    ),
    "surprised": _words(
        adjective="surprised, shocked, astonished, astounded, dumbfounded, bewildered, speechless, "
        "stupefied, flabbergasted, awestruck, alarmed",
        having="a surprised face, a surprised expression, raised eyebrows, a shocked face, "
        "an astonished expression, a look of surprise, a shocked look, amazement in {their} face",
        doing="looking surprised, looking shocked, looking astonished, gasping in surprise, "
        "looking bewildered, full of astonishment, taken aback",
        command="make {them} look surprised, make {them} surprised, surprise {them}, shock {them}",
    ),
    "clean-shaven": _words(
        adjective="clean-shaven, beardless, smooth-shaven",
        having="no beard, no facial hair, a clean-shaven face, a shaved face, no moustache, "
        "a smooth chin",
        doing="without a beard, freshly shaved",
        command="remove the beard, shave off the beard, shave {them}",
    ),
    "stubble": _words(
        adjective="unshaven, stubbly, scruffy",
        having="stubble, a five o'clock shadow, a light stubble beard, facial stubble, "
        "a three-day beard, designer stubble, bristles",
    ),
    "moustache": _words(
        adjective="mustached, moustachioed",
        having="a moustache, a mustache, a thick moustache, a handlebar moustache, a bushy moustache",
    ),
    "goatee": _words(
        having="a goatee, a goatee beard, a chin beard, a small beard on the chin, a pointed goatee"
    ),
    "beard": _words(
        adjective="bearded, heavily bearded",
        having="a beard, a full beard, a thick beard, a big beard, a bushy beard, a long beard, "
        "thick facial hair, a dense beard, a shaggy beard, lots of facial hair",
        command="add a beard, grow a beard, give {them} a beard",
    ),
    "thin eyebrows": _words(
        having="thin eyebrows, fine eyebrows, plucked eyebrows, narrow eyebrows"
    ),
    "bushy eyebrows": _words(
        having="bushy eyebrows, thick eyebrows, heavy eyebrows, big eyebrows, dense eyebrows"
    ),
    "arched eyebrows": _words(having="arched eyebrows, high eyebrows, curved eyebrows"),
    "brown eyes": _words(adjective="brown-eyed", having="brown eyes, dark eyes, hazel eyes"),
    "blue eyes": _words(adjective="blue-eyed", having="blue eyes, bright blue eyes"),
    "green eyes": _words(adjective="green-eyed", having="green eyes, emerald eyes"),
    "eyes closed": _words(
        having="closed eyes, {their} eyes closed, eyes closed, eyes shut, {their} eyes shut, shut eyes, "
        "both eyes closed, closed eyelids, lowered eyelids",
        doing="closing {their} eyes, asleep, sleeping, blinking, keeping {their} eyes shut, fast asleep, dozing, "
        "napping",
        command="close {their} eyes, shut {their} eyes, close the eyes, make {them} sleep, make {them} blink",
    ),
    "open eyes": _words(
        having="open eyes, {their} eyes open, eyes open, both eyes open, opened eyes",
        doing="opening {their} eyes, awake, wide awake",
        command="open {their} eyes, open the eyes, wake {them} up",
    ),
    "no glasses": _words(
        wearing="no glasses, no eyeglasses, no eyewear",
        doing="not wearing glasses, without glasses",
        command="remove the glasses, take off the glasses",
    ),
    "eyeglasses": _words(
        wearing="glasses, eyeglasses, a pair of glasses, reading glasses, specs, eyewear, "
        "prescription glasses, clear lenses, thick lenses, bifocals",
        command="put on glasses, add glasses",
    ),
    "sunglasses": _words(
        wearing="sunglasses, dark glasses, a pair of sunglasses, shades, dark lenses, "
        "mirrored sunglasses, aviators, dark shades, smoked glasses",
        command="put on sunglasses, add sunglasses",
    ),
    "hat": _words(
        wearing="a hat, a cap, a beanie, a fedora, a bonnet, a baseball cap, a woolly hat, a beret, "
        "a bowler, a sun hat, a headpiece",
        command="put on a hat, add a hat",
    ),
    "no hat": _words(
        adjective="bareheaded",
        wearing="no hat, no cap",
        doing="not wearing a hat, without a hat",
        command="remove the hat, take off the hat",
    ),
    "earrings": _words(
        wearing="earrings, a pair of earrings, gold earrings, hoop earrings, pearl earrings, "
        "jewelry on {their} ears, silver earrings, dangling earrings, pierced ears",
        command="add earrings, put on earrings",
    ),
    "no earrings": _words(
        wearing="no earrings",
        doing="not wearing earrings, without earrings",
        command="remove the earrings",
    ),
    "lipstick": _words(
        having="red lips, painted lips, bright red lips, scarlet lips, glossy red lips, pink painted lips",
        wearing="lipstick, red lipstick, bright lipstick, crimson lipstick",
        command="put on lipstick, add lipstick, paint {their} lips red",
    ),
    "heavy makeup": _words(
        wearing="heavy makeup, makeup, eye shadow, a lot of makeup, eyeliner, mascara, cosmetics"
    ),
    "no makeup": _words(
        wearing="no makeup, no make-up",
        doing="not wearing makeup, without makeup",
        command="remove the makeup",
    ),
    "rosy cheeks": _words(
        adjective="blushing, rosy-cheeked, flushed",
        having="rosy cheeks, red cheeks, pink cheeks, flushed cheeks, ruddy cheeks, glowing cheeks",
        doing="blushing",
        command="make {them} blush",
    ),
    "freckles": _words(
        adjective="freckled",
        having="freckles, a freckled face, freckled cheeks, lots of freckles, freckles on the nose",
        command="add freckles",
    ),
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
        setting="a dark background, a black background, a dim background",
        command="make the background dark",
    ),
    "bright background": _words(
        setting="a bright background, a light background, a white background",
        command="make the background bright",
    ),
    "light from the left": _words(
        having="light from the left, light on the left, light on the left side of {their} face, "
        "light falling from the left, shadows on the right, a lamp on the left, "
        "the right side of {their} face in shadow",
        doing="lit from the left, illuminated from the left, lit by a lamp on the left",
        command="light {them} from the left, move the light to the left, put a lamp on the left",
    ),
    "light from the right": _words(
        having="light from the right, light on the right, light on the right side of {their} face, "
        "light falling from the right, shadows on the left, a lamp on the right, "
        "the left side of {their} face in shadow",
        doing="lit from the right, illuminated from the right, lit by a lamp on the right",
        command="light {them} from the right, move the light to the right, put a lamp on the right",
    ),
    "t-shirt": _words(wearing="a t-shirt, a tee shirt, a crewneck"),
    "shirt": _words(wearing="a shirt, a shirt with a collar, a collared shirt, a blouse"),
    "turtleneck": _words(
        wearing="a turtleneck, a turtleneck sweater, a sweater, a pullover, a jumper"
    ),
    "bangs": _words(
        having="bangs, a fringe, bangs over the forehead, a fringe of hair, hair over {their} forehead"
    ),
    "receding hairline": _words(
        adjective="balding",
        having="a receding hairline, a high forehead, thinning hair, thin hair, hair loss",
    ),
}
