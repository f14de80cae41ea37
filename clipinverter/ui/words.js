// What the server says appears in the visitor's language, where there is a translation. Numbers are left
// out of the texts: "{}" stands for each.
(languages) => {
  const asked = navigator.language, plain = asked.split("-")[0];
  const words = languages[asked] ?? languages[plain] ?? (plain === "zh" && languages["zh-CN"]);
  if (!words) return;
  const SAID = ".stage :is(.tag, .empty), #learning p, :is(#chips, .tile) :is(b, p, summary), #strip :is(.hint, span), .header p, "
    + ":is(#status, [id$=-status]) :is(p, summary, span), .card p";
  const translated = (text) => {
    const numbers = text.match(/\d+/g) || [];
    return words[text.replace(/\d+/g, "{}")]?.replace(/{}/g, () => numbers.shift());
  };
  const say = (node) => {
    const parts = node.data.trim().split(" · ");
    const there = translated(node.data.trim()) ?? parts.map((part) => translated(part) ?? part).join(" · ");
    if (there !== node.data.trim()) node.data = there;
  };
  const look = () => document.querySelectorAll(SAID).forEach((part) => {
    part.childNodes.forEach((node) => node.nodeType === Node.TEXT_NODE && say(node));
  });
  look();
  new MutationObserver(look).observe(document.body, { childList: true, subtree: true, characterData: true });
}
