// One divider for all cards of a comparison: whoever moves one, moves all.
() => {
  document.addEventListener("input", (event) => {
    const moved = event.target;
    if (event.cards || !moved.matches?.("#compare .stage input[type=range]")) return;
    document.querySelectorAll("#compare .stage input[type=range]").forEach((divider) => {
      if (divider === moved) return;
      divider.value = moved.value;
      const follow = new Event("input", { bubbles: true });
      follow.cards = true;
      divider.dispatchEvent(follow);
    });
  });
}
