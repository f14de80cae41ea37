// Keys of the place Edit, talk mode, and a word when the server was restarted.
() => {
  const press = (id) => document.querySelector(`#${id}:not(:disabled)`)?.click();
  const writes = (target) => target.matches("textarea, input:not([type=range]):not([type=checkbox]):not([type=radio])");
  const talk = document.documentElement.classList.contains("talk");
  document.body.classList.toggle("talk", talk);

  document.addEventListener("keydown", (event) => {
    if (writes(event.target)) return;
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z") {
      event.preventDefault();
      press(event.shiftKey ? "redo" : "undo");
    }
    if (!talk || event.ctrlKey || event.metaKey || event.altKey) return;
    if (/^[1-9]$/.test(event.key)) document.querySelectorAll("#chips button")[event.key - 1]?.click();
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const slider = document.querySelector("#strength input[type=range]");
    if (step && slider && event.target.type !== "range") {
      event.preventDefault();
      slider.value = Number(slider.value) + 10 * step;
      slider.dispatchEvent(new Event("input", { bubbles: true }));
      slider.dispatchEvent(new PointerEvent("pointerup", { bubbles: true }));
    }
  });

  // A server that was restarted has forgotten the visit; the page would go on as if nothing were.
  let first = null;
  const say = (words) => {
    let line = document.getElementById("restarted");
    if (!words) return line?.remove();
    if (!line) {
      line = document.createElement("p");
      line.id = "restarted";
      line.setAttribute("role", "alert");
      document.body.append(line);
    }
    line.replaceChildren(words, " ");
    const again = document.createElement("button");
    again.textContent = "Open the page again";
    again.addEventListener("click", () => location.reload());
    line.append(again);
  };
  const look = async () => {
    if (document.hidden) return;
    try {
      const answer = await fetch("gradio_api/app_id", { cache: "no-store" });
      const { app_id: id } = await answer.json();
      first ??= id;
      say(id === first ? "" : "The server was restarted and no longer has your photo. Your words are kept.");
    } catch {
      say("The server does not answer.");
    }
  };
  look();
  setInterval(look, 10_000);
  document.addEventListener("visibilitychange", look);
}
