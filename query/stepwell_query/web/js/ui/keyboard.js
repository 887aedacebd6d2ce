/** Keys for those who don't reach for the mouse. */

import { fill, h, iconButton } from "./dom.js";

/** @typedef {{key: string, what: string, call: () => void}} Shortcut */

/** @type {Shortcut[]} */
const shortcuts = [];

/**
 * Call a function when a key is pressed and nobody writes.
 * @param {string} key
 * @param {string} what it does, in a few words
 * @param {() => void} call
 */
export function onKey(key, what, call) {
  shortcuts.push({ key, what, call });
}

export function startKeyboard() {
  onKey("?", "Show these keys", showKeys);
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || writes(event.target) || document.querySelector("dialog[open]")) return;
    const found = shortcuts.find((one) => one.key === event.key);
    if (!found) return;
    event.preventDefault();
    found.call();
  });
}

/** @param {EventTarget | null} target */
function writes(target) {
  if (target instanceof HTMLSelectElement || target instanceof HTMLTextAreaElement) return true;
  return target instanceof HTMLInputElement && !["checkbox", "range", "color"].includes(target.type);
}

const IN_CHARTS = [
  ["← →", "Walk along a chart's points (Page Up, Page Down: by 20)"],
  ["Drag", "Zoom into a chart; double click: the whole again"],
  ["Esc", "Leave an enlarged panel"],
];

function showKeys() {
  const dialog = h("dialog", { class: "dialog", "aria-label": "Keys" });
  const rows = [...shortcuts.map(({ key, what }) => [key, what]), ...IN_CHARTS];
  fill(
    dialog,
    h("div", { class: "dialog-head" }, h("h2", {}, "Keys"), iconButton("close", "Close", () => dialog.close())),
    h("dl", { class: "keys" }, rows.flatMap(([key, what]) => [h("dt", {}, h("kbd", {}, key)), h("dd", {}, what)])),
  );
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}
