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
        button_primary_background_fill_dark="*primary_600",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_hover_dark="*primary_500",
        button_primary_text_color="white",
        slider_color="*primary_600",
        slider_color_dark="*primary_500",
    )


CSS = """
.gradio-container { max-width: min(1120px, 100vw) !important; margin: 0 auto !important; }
#examples, #chips { min-width: 0 !important; padding: 4px; margin: -4px; }
#head .html-container, #head .prose { padding: 0; }
#head h1 { font-size: 1.8rem; letter-spacing: -0.02em; margin: 8px 0 4px; }
#head p { color: var(--body-text-color-subdued); margin: 0 0 4px; }
#prompt .input-container { align-items: center; gap: 8px; }
#prompt textarea, #prompt input {
  border: 1px solid var(--input-border-color); border-radius: var(--button-large-radius);
}
#prompt button {
  margin: 0; padding: 0 18px; height: 42px; border-radius: var(--button-large-radius);
  font-weight: 600; background: var(--button-primary-background-fill); color: white;
}
#prompt button:hover { background: var(--button-primary-background-fill-hover); }
#examples .gallery {
  display: grid; gap: 6px; grid-template-columns: repeat(auto-fill, minmax(42px, 1fr));
}
#examples .gallery-item, #examples .gallery-item span { display: block; min-width: 0; }
#examples .gallery-item .container {
  display: block; width: 100%; max-width: none; height: auto; aspect-ratio: 1;
}
#examples .gallery-item img { width: 100%; height: 100%; object-fit: cover; }
#chips .gallery { gap: 6px; border: 0; }
#chips .gallery-item {
  border: 1px solid var(--border-color-primary); border-radius: 999px; min-height: 34px;
  background: var(--block-background-fill); padding: 4px 12px; font-size: var(--text-sm);
}
#chips .gallery-item:hover { border-color: var(--color-accent); }
#result .empty { min-height: min(480px, 88vw); }
#status { min-height: 76px; }
#status p { margin: 0; font-variant-numeric: tabular-nums; }
#status .status { padding: 6px 12px; border-left: 3px solid var(--color-accent); }
#status .note { color: var(--body-text-color-subdued); font-size: var(--text-sm); }
#status .failed { border-left-color: #b45309; font-weight: 600; }
#compare .card p { margin: 0; font-variant-numeric: tabular-nums; font-size: var(--text-sm); }
#compare .card .title { font-weight: 600; font-size: var(--text-md); }
#compare .card .failed { color: #b45309; }
.dark #compare .card .failed { color: #f59e0b; }
#compare .card progress { width: 100%; height: 6px; accent-color: var(--color-accent); }
#note p { color: var(--body-text-color-subdued); font-size: var(--text-sm); }
footer .divider { display: none; }
:focus-visible { outline: 3px solid var(--color-accent) !important; outline-offset: 2px; }
@media (max-width: 640px) {
  .gradio-container { padding: 0 !important; }
  .gradio-container main { padding: 8px 12px !important; min-width: 0; width: 100vw !important; }
  #head h1 { font-size: 1.5rem; }
  #examples .gallery { grid-template-columns: repeat(4, 1fr); }
  #chips .gallery { flex-wrap: nowrap; overflow-x: auto; padding-bottom: 6px; }
  #chips .gallery-item { flex: none; }
}
"""

# What the components lack: alternative texts of the two pictures, a status line that is read aloud,
# a release of the strength slider by keyboard, and a phone that shows the result of what was asked.
SCRIPT = """
() => {
  const label = () => {
    document.querySelectorAll("#result, #compare .before-after").forEach((result) => {
      const by = result.id === "result" ? "" : ` by ${result.id.replace("compare-", "")}`;
      result.setAttribute("role", "group");
      result.setAttribute("aria-label", `Before and after${by}; drag the divider to compare`);
      result.querySelectorAll("img").forEach((image, index) => {
        const name = (index ? "After the edit" : "Before the edit") + by;
        if (image.alt !== name) image.alt = name;
      });
    });
    document.querySelectorAll("#examples button").forEach((button, index) => {
      button.setAttribute("aria-label", `Example ${index + 1}`);
    });
    const status = document.getElementById("status");
    if (status && !status.hasAttribute("aria-live")) status.setAttribute("aria-live", "polite");
  };
  label();
  new MutationObserver(label).observe(document.body, { childList: true, subtree: true });
  const show = () => document.getElementById("result")?.scrollIntoView({ block: "nearest" });
  document.addEventListener("click", (event) => {
    if (event.target.closest("#prompt button, #chips button")) show();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && event.target.closest("#prompt")) show();
  });
  document.addEventListener("keyup", (event) => {
    if (event.target.matches("#strength input[type=range]") && event.key !== "Tab") {
      event.target.dispatchEvent(new PointerEvent("pointerup", { bubbles: true }));
    }
  });
}
"""
