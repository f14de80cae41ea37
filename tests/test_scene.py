"""Scenes: what latents mean, and what an edit changes and keeps."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from clipinverter.portraits.scene import ATTRIBUTES, Scene, to_z
from clipinverter.portraits.variables import N_LATENTS, VARIABLES, Choice, Free, slots

NAMED = [v for v in VARIABLES if not isinstance(v, Free)]

seeds = st.integers(0, 2**32 - 1)
# Typical scenes, and latents far out in any direction.
latents = seeds.map(lambda seed: np.random.default_rng(seed).standard_normal(N_LATENTS)) | arrays(
    float, N_LATENTS, elements=st.floats(-6, 6)
)
attributes = st.sampled_from(sorted(ATTRIBUTES))


@pytest.fixture(scope="module")
def scenes():
    return [Scene.from_seed(seed) for seed in range(2000)]


def labels(scene: Scene) -> dict[str, str | None]:
    return {v.name: scene.label(v.name) for v in NAMED}


@given(latents)
def test_a_latent_is_one_scene(latent):
    one, other = Scene.from_latent(latent), Scene.from_latent(latent.copy())
    assert labels(one) == labels(other)
    assert one.attributes == other.attributes
    for name, value in one.values.items():
        np.testing.assert_array_equal(value, other.values[name])


@pytest.mark.parametrize("shape", [(N_LATENTS - 1,), (1, N_LATENTS), ()])
def test_latents_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match=str(N_LATENTS)):
        Scene.from_latent(np.zeros(shape))


def test_slots_divide_the_latents():
    taken = np.zeros(N_LATENTS, int)
    for slot in slots().values():
        taken[slot] += 1
    assert (taken == 1).all()


@given(latents)
def test_ranges_of_ages_and_ancestry(latent):
    scene = Scene.from_latent(latent)
    assert 18 <= scene.age <= 90
    assert sum(scene.ancestry.values()) == pytest.approx(1)
    assert min(scene.ancestry.values()) > 0


@pytest.mark.parametrize(
    "choice", [v for v in VARIABLES if isinstance(v, Choice)], ids=lambda v: v.name
)
def test_choices_are_as_frequent_as_they_say(scenes, choice):
    """Counts over 2,000 scenes within 4.5 deviations of the sum of each scene's own probabilities."""
    chances = [choice.probabilities(scene.values) for scene in scenes]
    for option in choice.options:
        p = np.array([chance.get(option, 0.0) for chance in chances])
        count = sum(scene.label(choice.name) == option for scene in scenes)
        assert abs(count - p.sum()) <= 4.5 * np.sqrt((p * (1 - p)).sum()), option
    for chance in chances[:50]:
        assert sum(chance.values()) == pytest.approx(1)


def test_levels_are_as_frequent_as_their_ranges_are_wide(scenes):
    for variable in NAMED:
        if isinstance(variable, Choice):
            continue
        for label in {name for name, _, _ in variable.labels}:
            widths = np.array(
                [
                    sum(
                        high - low for name, low, high in variable.ranges(s.values) if name == label
                    )
                    for s in scenes
                ]
            )
            count = sum(scene.label(variable.name) == label for scene in scenes)
            assert abs(count - widths.sum()) <= 4.5 * np.sqrt((widths * (1 - widths)).sum()), label


def test_every_attribute_occurs_and_is_lacked(scenes):
    for name in ATTRIBUTES:
        assert 0 < sum(scene.has(name) for scene in scenes) < len(scenes), name


def kept(before: Scene, after: Scene, changed: str) -> bool:
    """Whether every other variable keeps its label, a woman's facial hair and surprised eyes aside."""
    aside = set()
    if after.is_woman:
        aside.add("facial_hair")
    if after.label("expression") == "surprised":
        aside.add("eyes closed")
    return all(
        after.label(v.name) == before.label(v.name)
        for v in NAMED
        if v.name != changed and v.name not in aside
    )


@settings(max_examples=300, deadline=None)
@given(latents, attributes)
def test_an_edit_changes_what_it_says_and_nothing_else(latent, name):
    scene, attribute = Scene.from_latent(latent), ATTRIBUTES[name]
    bearded = attribute.variable == "facial_hair" and attribute.label != "none"
    surprised = scene.label("expression") == "surprised"
    if (bearded and scene.is_woman) or (name == "eyes closed" and surprised):
        with pytest.raises(ValueError, match="not possible"):
            scene.edited(name)
        assert not scene.can_be(name)
        return
    edited = scene.edited(name)
    assert edited.label(attribute.variable) == attribute.label
    assert kept(scene, edited, attribute.variable)
    # The latents say the same as the labels: an edit survives being stored.
    assert labels(Scene.from_latent(edited.latent)) == labels(edited)
    for variable in VARIABLES:
        if isinstance(variable, Free):
            slot = slots()[variable.name]
            np.testing.assert_array_equal(edited.latent[slot], scene.latent[slot])


@settings(deadline=None)
@given(latents, attributes)
def test_editing_twice_is_editing_once(latent, name):
    scene = Scene.from_latent(latent)
    if scene.can_be(name):
        once = scene.edited(name)
        assert labels(once.edited(name)) == labels(once)
        np.testing.assert_array_equal(once.edited(name).latent, once.latent)


@settings(deadline=None)
@given(latents, attributes)
def test_what_shows_already_needs_no_edit(latent, name):
    scene = Scene.from_latent(latent)
    if scene.has(name) and scene.label(ATTRIBUTES[name].variable) == ATTRIBUTES[name].label:
        np.testing.assert_array_equal(scene.edited(name).latent, scene.latent)


@settings(deadline=None)
@given(latents, attributes)
def test_edited_attributes_show_unless_something_hides_them(latent, name):
    plain = Scene.from_latent(latent)
    plainest = "man", "no hat", "no glasses", "short hair", "neutral expression", "open eyes"
    for bare in plainest:
        if ATTRIBUTES[bare].variable != ATTRIBUTES[name].variable:
            plain = plain.edited(bare)
    if name != "clean-shaven":
        assert plain.can_be(name)
    assert plain.edited(name).has(name)


def test_what_hides_what():
    scene = Scene.from_seed(0).edited("man").edited("no hat")
    bald = scene.edited("bald").edited("beard")
    assert not {n for n in bald.attributes if n.endswith(" hair") or n == "bangs"}
    assert not bald.can_be("curly hair")
    assert "bald" not in bald.edited("hat").attributes
    shaded = scene.edited("blue eyes").edited("sunglasses")
    assert not {n for n in shaded.attributes if n.endswith(" eyes")}
    startled = scene.edited("closed mouth").edited("surprised")
    assert "mouth open" in startled.attributes
    assert "closed mouth" not in startled.attributes
    assert not startled.can_be("eyes closed")
    asleep = scene.edited("neutral expression").edited("blue eyes").edited("eyes closed")
    assert not {"open eyes", "blue eyes"} & asleep.attributes
    assert "open eyes" in asleep.edited("surprised").attributes
    assert "clean-shaven" not in scene.edited("clean-shaven").edited("woman").attributes


def test_unknown_attributes_are_refused():
    with pytest.raises(ValueError, match="unknown attribute 'moody'"):
        Scene.from_seed(0).edited("moody")


@given(seeds, st.sampled_from([N_LATENTS, 128, 256, 512]))
@settings(deadline=None)
def test_z_and_latents_are_each_others_rotation(seed, width):
    rng = np.random.default_rng(seed)
    g, nuisance = rng.standard_normal((3, N_LATENTS)), rng.standard_normal((3, width - N_LATENTS))
    z = to_z(g, nuisance)
    assert z.shape == (3, width)
    assert z.dtype == np.float32
    rotation = to_z(*np.split(np.eye(width), [N_LATENTS], axis=1))
    np.testing.assert_allclose((z @ rotation.T)[:, :N_LATENTS], g, atol=1e-5)
    both = np.concatenate([g, nuisance], axis=1)
    np.testing.assert_allclose(z @ z.T, both @ both.T, rtol=1e-4, atol=1e-3)
