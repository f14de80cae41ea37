"""Translations are complete: every file has the same texts, and they are the texts of the page."""

import pytest

from clipinverter.domains import get_domain
from clipinverter.ui import demo, translations


@pytest.fixture(scope="module")
def texts() -> set[str]:
    """Of the page, before they are replaced by keys."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(translations, "mark", lambda page: None)
        page = demo.create_demo(lambda: None, get_domain("portraits"))
    return {text for _, _, text, _ in translations.parts(page)}


def test_the_languages():
    assert list(translations.languages()) == ["de", "es", "fr", "tr", "zh-CN"]


@pytest.mark.parametrize("language", list(translations.languages()))
def test_a_file_has_a_translation_of_every_text_of_the_page(language, texts):
    translated = translations.languages()[language]
    assert sorted(translated) == sorted(texts | translations.said())
    assert all(there.strip() for there in translated.values())


def test_keys_are_unique_and_plain(texts):
    keys = {translations.key(text) for text in texts}
    assert len(keys) == len(texts)
    assert not any(set(".{}'") & set(key) for key in keys)


def test_marked_texts_are_keys(texts):
    page = demo.create_demo(lambda: None, get_domain("portraits"))
    left = {text for _, _, text, _ in translations.parts(page)}
    assert not left & texts
