/** The values under the cursor: one tooltip for all charts. */

import { fill, h } from "../ui/dom.js";
import { exact } from "../ui/format.js";

/** @typedef {{name: string, color: string, value: number, notes: string[], far: number}} TooltipRow */

const ROWS_MAX = 14;
const GAP = 14;

/** @type {HTMLElement | null} */
let element = null;

/**
 * Show values at a place of the window; the nearest to the cursor is marked.
 * @param {string} title
 * @param {TooltipRow[]} rows
 * @param {number} left
 * @param {number} top
 */
export function showTooltip(title, rows, left, top) {
  if (!element) {
    element = h("div", { class: "tooltip", role: "status" });
  }
  // A dialog lies over all that is not in it.
  const over = document.querySelector("dialog[open]") ?? document.body;
  if (element.parentNode !== over) over.append(element);
  const near = rows.reduce((least, row) => Math.min(least, row.far), Infinity);
  // Of many, those around the cursor, in the order in which they lie.
  const chosen = new Set([...rows].sort((a, b) => a.far - b.far).slice(0, ROWS_MAX));
  const shown = rows.filter((row) => chosen.has(row)).sort((a, b) => b.value - a.value);
  fill(
    element,
    h("div", { class: "tooltip-title" }, title),
    shown.map((row) => {
      const swatch = h("span", { class: "swatch" });
      swatch.style.background = row.color;
      return h(
        "div",
        { class: row.far === near ? "tooltip-row near" : "tooltip-row" },
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
