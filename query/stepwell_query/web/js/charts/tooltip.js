/** The tooltip with the values under the cursor, shared by all charts. */

import { fill, h } from "../ui/dom.js";
import { exact } from "../ui/format.js";

/** @typedef {{name: string, color: string, value: number, notes: string[], distance: number}} TooltipRow */

const ROWS_MAX = 14;
const GAP = 14;

/** @type {HTMLElement | null} */
let element = null;

/**
 * Show values at a position of the window. The value nearest to the cursor is highlighted.
 * @param {string} title
 * @param {TooltipRow[]} rows
 * @param {number} left
 * @param {number} top
 */
export function showTooltip(title, rows, left, top) {
  if (!element) {
    element = h("div", { class: "tooltip", role: "status" });
  }
  // An open dialog covers everything outside of it.
  const parent = document.querySelector("dialog[open]") ?? document.body;
  if (element.parentNode !== parent) parent.append(element);
  const near = rows.reduce((least, row) => Math.min(least, row.distance), Infinity);
  // Of many rows, show those nearest to the cursor, from the highest value to the lowest.
  const chosen = new Set([...rows].sort((a, b) => a.distance - b.distance).slice(0, ROWS_MAX));
  const shown = rows.filter((row) => chosen.has(row)).sort((a, b) => b.value - a.value);
  fill(
    element,
    h("div", { class: "tooltip-title" }, title),
    shown.map((row) => {
      const swatch = h("span", { class: "swatch" });
      swatch.style.background = row.color;
      return h(
        "div",
        { class: row.distance === near ? "tooltip-row near" : "tooltip-row" },
        swatch,
        h("span", { class: "tooltip-name" }, row.name),
        h("span", { class: "tooltip-value" }, exact(row.value)),
        row.notes.length ? h("span", { class: "tooltip-notes" }, row.notes.join(" · ")) : null,
      );
    }),
    rows.length > shown.length ? h("div", { class: "tooltip-notes" }, `and ${rows.length - shown.length} more`) : null,
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
