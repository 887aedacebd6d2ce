/** A dot with a colour, in which another one can be chosen from the palette. */

import { inTheme, PALETTE } from "./palette.js";
import { h } from "./dom.js";
import { theme } from "./theme.js";

const COLUMNS = 6;

/** @type {HTMLElement | null} */
let popup = null;

/**
 * Build a dot that opens the swatches.
 * @param {string} label of what has the colour
 * @param {string} value `#rrggbb`, as the theme shows it
 * @param {(color: string | null) => void} onChoose receives a colour of the palette; null: the default
 * @param {Record<string, unknown>} [more] attributes
 */
export function colorDot(label, value, onChoose, more = {}) {
  const button = h("button", { type: "button", class: "color", "aria-label": `Colour of ${label}`, "aria-haspopup": "dialog", ...more, onclick: () => open(button, label, value, onChoose) });
  button.style.background = value;
  return button;
}

/** @param {HTMLElement} button @param {string} label @param {string} value @param {(color: string | null) => void} onChoose */
function open(button, label, value, onChoose) {
  popup?.remove();
  const choose = (/** @type {string | null} */ color) => {
    element.hidePopover();
    onChoose(color);
  };
  const swatches = PALETTE.map((color, at) => {
    const shown = inTheme(color, theme());
    const swatch = h("button", { type: "button", class: "color", "aria-label": `Colour ${at + 1}`, "aria-pressed": String(shown === value), onclick: () => choose(color) });
    swatch.style.background = shown;
    return swatch;
  });
  const element = h("div", { class: "swatches", popover: "auto", role: "dialog", "aria-label": `Colour of ${label}` }, h("div", { class: "swatch-grid" }, swatches), h("button", { type: "button", onclick: () => choose(null) }, "Default"));
  element.addEventListener("keydown", (event) => moveFocus(event, swatches));
  element.addEventListener("toggle", (event) => /** @type {ToggleEvent} */ (event).newState === "closed" && element.remove());
  popup = element;
  (button.closest("dialog") ?? document.body).append(element);
  element.showPopover();
  const { left, bottom } = button.getBoundingClientRect();
  element.style.left = `${Math.max(4, Math.min(left, innerWidth - element.offsetWidth - 4))}px`;
  element.style.top = `${Math.max(4, Math.min(bottom + 4, innerHeight - element.offsetHeight - 4))}px`;
  (swatches.find((swatch) => swatch.getAttribute("aria-pressed") === "true") ?? swatches[0]).focus();
}

/** @param {KeyboardEvent} event @param {HTMLElement[]} swatches */
function moveFocus(event, swatches) {
  const move = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -COLUMNS, ArrowDown: COLUMNS }[event.key];
  const at = swatches.indexOf(/** @type {HTMLElement} */ (document.activeElement));
  if (move === undefined || at < 0) return;
  event.preventDefault();
  swatches[at + move]?.focus();
}
