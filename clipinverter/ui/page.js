// What the components lack: names for those who hear the page, an upload from the clipboard or by a
// drop on the stage, and a release of the strength slider by keyboard.
() => {
  const label = () => {
    document.querySelectorAll("#examples button").forEach((button, index) => {
      button.setAttribute("aria-label", `Example ${index + 1}`);
    });
    const status = document.getElementById("status");
    if (status && !status.hasAttribute("aria-live")) status.setAttribute("aria-live", "polite");
    // The picture to point at has to be seen when it is asked for.
    const pick = document.querySelector("#pick img");
    if (pick && !pick.dataset.seen) {
      pick.dataset.seen = "yes";
      const show = () => document.getElementById("pick")?.scrollIntoView({ block: "nearest" });
      pick.addEventListener("load", () => requestAnimationFrame(show), { once: true });
    }
  };
  label();
  new MutationObserver(label).observe(document.body, { childList: true, subtree: true });
  document.addEventListener("keyup", (event) => {
    if (event.target.matches(".strength input[type=range]") && event.key !== "Tab") {
      event.target.dispatchEvent(new PointerEvent("pointerup", { bubbles: true }));
    }
  });
  const take = (files) => {
    const picture = [...(files || [])].find((file) => file.type.startsWith("image/"));
    const input = document.querySelector("#files input[type=file]");
    if (!picture || !input) return false;
    const list = new DataTransfer();
    list.items.add(picture);
    input.files = list.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
    return true;
  };
  document.addEventListener("paste", (event) => {
    if (take(event.clipboardData?.files)) event.preventDefault();
  });
  document.addEventListener("dragover", (event) => {
    if (event.target.closest("#result")) event.preventDefault();
  });
  document.addEventListener("drop", (event) => {
    if (event.target.closest("#result") && take(event.dataTransfer?.files)) event.preventDefault();
  });
}
