/** The tooltip with the values under the cursor, shared by all charts. */

import { fill, h } from "../ui/dom.js";

/** @typedef {import("./readout.js").Readout} Readout */

const GAP = 14;

/** @type {HTMLElement | null} */
let element = null;
let toText = () => "";

/**
 * Show values at a position of the window, the nearest to the cursor first. Copying while it is shown copies all digits.
 * @param {Readout} readout
 * @param {number} more number of lines that are left out
 * @param {number} left
 * @param {number} top
 */
export function showTooltip(readout, more, left, top) {
  if (!element) {
    element = h("div", { class: "tooltip", role: "status" });
    document.addEventListener("copy", copyAll);
  }
  // An open dialog covers everything outside of it.
  const parent = document.querySelector("dialog[open]") ?? document.body;
  if (element.parentNode !== parent) parent.append(element);
  toText = readout.toText;
  fill(
    element,
    h("div", { class: "tooltip-title" }, readout.title),
    readout.rows.map((row, number) => {
      const swatch = h("span", { class: "swatch" });
      swatch.style.background = row.color;
      return h(
        "div",
        { class: number === 0 && readout.rows.length > 1 ? "tooltip-row near" : "tooltip-row" },
        swatch,
        h("span", { class: "tooltip-name" }, row.name),
        h("span", { class: "tooltip-value" }, row.value),
        h("span", { class: "tooltip-notes" }, row.notes.join(" · ")),
      );
    }),
    more ? h("div", { class: "tooltip-more" }, `and ${more} more`) : null,
  );
  element.hidden = false;
  const { offsetWidth: width, offsetHeight: height } = element;
  const flips = left + GAP + width > innerWidth;
  element.style.left = `${Math.max(4, flips ? left - GAP - width : left + GAP)}px`;
  element.style.top = `${Math.max(4, Math.min(top + GAP, innerHeight - height - 4))}px`;
}

export function hideTooltip() {
  if (element) element.hidden = true;
}

/** @param {ClipboardEvent} event */
function copyAll(event) {
  const isSelected = !(getSelection()?.isCollapsed ?? true) || (document.activeElement instanceof HTMLInputElement && document.activeElement.selectionStart !== document.activeElement.selectionEnd);
  if (!element || element.hidden || !element.isConnected || isSelected || !event.clipboardData) return;
  event.clipboardData.setData("text/plain", toText());
  event.preventDefault();
}
