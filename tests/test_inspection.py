"""What an inspection says of an edit agrees with the edit, and each switch does what its name says."""

import numpy as np
import pytest

from clipinverter.editor import Editor
from clipinverter.errors import UsageError
from clipinverter.methods.gains import GAIN
from clipinverter.methods.inspection import LEVELS, PARTS, inspect
from clipinverter.request import PromptError
from tests.tiny import picture, tiny_models

PROMPT = "a smiling woman"


@pytest.fixture(scope="module")
def editor() -> Editor:
    return Editor(tiny_models())


@pytest.fixture(scope="module")
def inversion(editor):
    return editor.invert(picture(), "none")


@pytest.fixture(scope="module")
def tuned(editor, inversion):
    return editor.tune(inversion)


def pixels(image) -> np.ndarray:
    return np.asarray(image, dtype=int)


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
def test_with_everything_on_it_is_the_edit(editor, inversion, tuned, strength):
    for photo in (inversion, tuned):
        seen = inspect(editor.session, photo, PROMPT, strength)
        expected = editor.edit(photo, PROMPT, strength)
        assert np.array_equal(pixels(seen.edit.image), pixels(expected.image))


def test_sizes_agree_with_the_move(editor, inversion, tuned):
    edit = editor.edit(inversion, PROMPT, 0.5)
    expected = 0.05 * np.linalg.norm(edit.residual.numpy()[0], axis=1)
    seen = inspect(editor.session, inversion, PROMPT, 0.5)
    assert seen.residual == pytest.approx(expected, rel=1e-5)
    assert seen.lambdas == pytest.approx(0.9 * 0.3)
    assert (seen.pull > 0).all()
    assert len(seen.pull) == len(seen.residual) - 2
    again = inspect(editor.session, tuned, PROMPT, 0.5)
    assert again.residual == pytest.approx(GAIN * expected, rel=1e-4)


def test_the_pull_is_how_far_the_remapper_moves_the_rows(editor, inversion):
    generator = editor.models.generator
    text = editor.models.text_image.embed_text([PROMPT])
    seen = inspect(editor.session, inversion, PROMPT, parts="remapper")
    rows = generator.remapped_rows(inversion.w_plus, generator.remap_vectors(text))
    moved = (rows - inversion.w_plus[:, 1:-1]).norm(dim=2)[0]
    assert seen.pull == pytest.approx(moved.detach().numpy(), rel=1e-4)
    assert not seen.residual.any()


def test_parts_and_levels_give_other_pictures(editor, inversion):
    def seen(**options) -> bytes:
        return inspect(editor.session, inversion, PROMPT, **options).edit.image.tobytes()

    by_parts = {seen(parts=parts) for parts in PARTS}
    assert len(by_parts) == 3
    by_level = {seen(levels=[level], parts="adapter") for level in LEVELS}
    assert len(by_level) == 3
    assert not inspect(editor.session, inversion, PROMPT, parts="adapter").pull.any()


def test_modulations_are_the_adapters(editor, inversion):
    seen = inspect(editor.session, inversion, PROMPT, levels=["coarse", "fine"])
    assert [m.level for m in seen.modulations] == ["coarse", "fine"]
    text = editor.models.text_image.embed_text([PROMPT])
    module = editor.models.adapter.coarse_mapping.modulation_module_list[0]
    expected = module.gamma_function(text)[0].detach().numpy()
    assert seen.modulations[0].gamma == pytest.approx(expected, rel=1e-5)


def test_difference_and_mask_show_where_the_picture_changed(editor, tuned):
    nothing = inspect(editor.session, tuned, PROMPT, 0.0)
    assert (pixels(nothing.difference) == 128).all()
    assert not pixels(nothing.mask).any()
    much = inspect(editor.session, tuned, PROMPT, 2.0)
    assert pixels(much.mask).max() > 0
    assert (pixels(much.difference) != 128).any()


def test_figures_are_of_the_pictures(editor, inversion, tuned):
    plain = inspect(editor.session, inversion, PROMPT, 0.0)
    assert plain.tuned is None
    assert "psnr tuned inversion" not in plain.figures
    assert plain.figures["clip edit"] == plain.figures["clip inversion"]
    assert "identity edit" not in plain.figures, "the tiny domain has no identity network"
    seen = inspect(editor.session, tuned, PROMPT)
    assert seen.figures["psnr tuned inversion"] > seen.figures["psnr inversion"]
    assert np.array_equal(pixels(seen.plain), pixels(inversion.image))


def test_what_can_not_be_inspected_is_refused_with_a_sentence(editor, inversion):
    with pytest.raises(PromptError):
        inspect(editor.session, inversion, " ")
    with pytest.raises(UsageError, match="at least one level"):
        inspect(editor.session, inversion, PROMPT, levels=[])
    with pytest.raises(UsageError, match="Levels are"):
        inspect(editor.session, inversion, PROMPT, levels=["huge"])
    with pytest.raises(UsageError, match="Parts must"):
        inspect(editor.session, inversion, PROMPT, parts="nothing")
    assert not inspect(
        editor.session, inversion, PROMPT, parts="remapper", levels=[]
    ).residual.any()
