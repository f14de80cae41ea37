"""How the page looks: a quiet theme, a little CSS, and labels that the components lack."""

import gradio as gr

SANS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "sans-serif")
MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace")


def theme() -> gr.themes.Base:
    """Warm grays and one accent; the visitor's own system fonts, so nothing is fetched."""
    return gr.themes.Base(
        primary_hue=gr.themes.colors.teal,
        secondary_hue=gr.themes.colors.teal,
        neutral_hue=gr.themes.colors.stone,
        spacing_size=gr.themes.sizes.spacing_lg,
        radius_size=gr.themes.sizes.radius_lg,
        font=SANS,
        font_mono=MONO,
    ).set(
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
        button_primary_background_fill_dark="*primary_600",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_hover_dark="*primary_500",
        button_primary_text_color="white",
        slider_color="*primary_600",
        slider_color_dark="*primary_500",
    )


CSS = """
.gradio-container { max-width: 1160px !important; margin: 0 auto !important; }
#head h1 { font-size: 1.9rem; letter-spacing: -0.02em; margin: 0.4rem 0 0.3rem; }
#head p { max-width: 62ch; color: var(--body-text-color-subdued); margin: 0; }
#chips { border: 0; background: none; box-shadow: none; padding: 0; }
#chips .gallery { gap: 8px; border: 0; }
#chips .gallery-item {
  border: 1px solid var(--border-color-primary); border-radius: 999px;
  background: var(--block-background-fill); padding: 6px 14px; min-height: 36px;
}
#chips .gallery-item:hover { border-color: var(--color-accent); }
#prompt-row { align-items: stretch; gap: 8px; }
#status p { margin: 0; font-variant-numeric: tabular-nums; }
#status .status { padding: 10px 14px; border-left: 3px solid var(--color-accent); }
#status .note { color: var(--body-text-color-subdued); margin-top: 4px; }
#status .failed { border-left-color: #b45309; font-weight: 600; }
#note { color: var(--body-text-color-subdued); }
#result img { image-rendering: auto; }
:focus-visible { outline: 3px solid var(--color-accent) !important; outline-offset: 2px; }
@media (max-width: 640px) {
  .gradio-container { padding: 8px !important; }
  #head h1 { font-size: 1.5rem; }
}
"""

# The before/after component knows no alternative texts, and nothing reads the status line aloud.
SCRIPT = """
() => {
  const label = () => {
    const result = document.getElementById("result");
    if (result) {
      result.setAttribute("role", "group");
      result.setAttribute("aria-label", "Before and after; drag the divider to compare");
      result.querySelectorAll("img").forEach((image, index) => {
        const name = index ? "Before the edit" : "After the edit";
        if (image.alt !== name) image.alt = name;
      });
    }
    const status = document.getElementById("status");
    if (status && !status.hasAttribute("aria-live")) status.setAttribute("aria-live", "polite");
  };
  label();
  new MutationObserver(label).observe(document.body, { childList: true, subtree: true });
}
"""
