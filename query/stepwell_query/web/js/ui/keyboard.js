/** Keyboard shortcuts. */

import { fill, h, iconButton } from "./dom.js";

/** @typedef {{key: string, label: string, call: () => void}} Shortcut */

/** @type {Shortcut[]} */
const shortcuts = [];

/**
 * Register a shortcut. It is ignored while an input has the focus.
 * @param {string} key
 * @param {string} label a short description
 * @param {() => void} call
 */
export function onKey(key, label, call) {
  shortcuts.push({ key, label, call });
}

export function startKeyboard() {
  onKey("?", "Show these keys", showKeys);
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || isInput(event.target) || document.querySelector("dialog[open]")) return;
    const shortcut = shortcuts.find(({ key }) => key === event.key);
    if (!shortcut) return;
    event.preventDefault();
    shortcut.call();
  });
}

/** @param {EventTarget | null} target */
function isInput(target) {
  if (target instanceof HTMLSelectElement || target instanceof HTMLTextAreaElement) return true;
  return target instanceof HTMLInputElement && !["checkbox", "range", "color"].includes(target.type);
}

const CHART_KEYS = [
  ["← →", "Move along a chart's points (Page Up, Page Down: by 20)"],
  ["Drag", "Zoom all charts; double click: show the whole range"],
  ["Ctrl C", "Copy the values under the cursor, with all digits"],
  ["← → ↑ ↓", "In an opened picture: steps, and runs"],
  ["Esc", "Close an enlarged panel or a picture"],
];

function showKeys() {
  const dialog = h("dialog", { class: "dialog", "aria-label": "Keys" });
  const rows = [...shortcuts.map(({ key, label }) => [key, label]), ...CHART_KEYS];
  fill(
    dialog,
    h("div", { class: "dialog-head" }, h("h2", {}, "Keys"), iconButton("close", "Close", () => dialog.close())),
    h("dl", { class: "keys" }, rows.flatMap(([key, label]) => [h("dt", {}, h("kbd", {}, key)), h("dd", {}, label)])),
  );
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}
