"""How the page looks: a quiet theme, a little CSS, and labels that the components lack."""

import json
import os
from pathlib import Path

import gradio as gr

from clipinverter.ui import translations

HERE = Path(__file__).parent
ICON = str(HERE / "icon.svg")
SANS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "sans-serif")
TALK = """{ window.opening = location.search; const asked = new URLSearchParams(location.search).get("talk");
  document.documentElement.classList.toggle("talk", asked === null ? %s : asked === "1"); }"""
MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace")


def theme() -> gr.themes.Base:
    """Warm grays and one accent; the visitor's own system fonts, so nothing is fetched."""
    return gr.themes.Base(
        primary_hue=gr.themes.colors.teal,
        secondary_hue=gr.themes.colors.teal,
        neutral_hue=gr.themes.colors.stone,
        spacing_size=gr.themes.sizes.spacing_md,
        radius_size=gr.themes.sizes.radius_lg,
        font=SANS,
        font_mono=MONO,
    ).set(
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_400",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_400",
        body_background_fill="*neutral_50",
        body_background_fill_dark="*neutral_950",
        block_background_fill="white",
        block_background_fill_dark="*neutral_900",
        block_border_width="1px",
        block_border_color="*neutral_200",
        block_border_color_dark="*neutral_800",
        block_shadow="0 1px 2px rgb(28 25 23 / 0.04)",
        block_shadow_dark="none",
        block_label_text_color="*neutral_600",
        block_label_text_color_dark="*neutral_300",
        block_title_text_color="*neutral_700",
        block_title_text_color_dark="*neutral_200",
        block_title_text_weight="600",
        input_background_fill="white",
        input_background_fill_dark="*neutral_950",
        input_border_color="*neutral_300",
        input_border_color_dark="*neutral_700",
        input_border_color_focus="*primary_600",
        input_border_color_focus_dark="*primary_400",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_hover_dark="*primary_800",
        button_primary_text_color="white",
        slider_color="*primary_600",
        slider_color_dark="*primary_500",
    )


def head() -> str:
    """The page's own style sheets. In the head they are there before the page is drawn, so nothing jumps.

    So are the address, before the page changes it, and talk mode, which TALK=1 in the environment or
    `?talk=1` in the address asks for.
    """
    always = "true" if os.environ.get("TALK") == "1" else "false"
    styles = "".join(_read("page.css", "edit.css", "places.css"))
    return f"<style>{styles}</style><script>{TALK % always}</script>"


def script() -> str:
    """What runs once when the page is open."""
    parts = (f"({part})();" for part in _read("page.js", "edit.js", "places.js"))
    (words,) = _read("words.js")
    said = json.dumps(translations.of_the_server(), ensure_ascii=False)
    return f"() => {{ {''.join(parts)}({words})({said}); }}"


def _read(*names: str) -> list[str]:
    return [(HERE / name).read_text(encoding="utf-8") for name in names]
