/** The legend of a chart, and the shape that holds its place while it loads. */

import { emphasizeHovered } from "../charts/emphasis.js";
import { differingParts } from "../charts/names.js";
import { fill, h, svg } from "../ui/dom.js";

/** @typedef {import("../types.js").Line} Line */

const ENTRIES_MAX = 6;

/** @type {WeakSet<HTMLElement>} */
const observed = new WeakSet();

/**
 * Fill a legend. A line alone needs none, unless its name says how many ranks it stands for. A click on an entry shows
 * only its lines, another click all.
 * @param {HTMLElement} element
 * @param {Line[]} lines
 * @param {string} solo owner of the only lines that are shown
 * @param {(owner: string) => void} onSolo
 */
export function buildLegend(element, lines, solo, onSolo) {
  if (!observed.has(element)) {
    observed.add(element);
    emphasizeHovered(element);
  }
  const entries = lines.length > 1 || lines[0]?.band === "ranks" || lines[0]?.rank ? lines : [];
  // Of many ranks, the first and the last say what the colours mean.
  const named = entries.length > ENTRIES_MAX && entries[0].rank ? [entries[0], entries[entries.length - 1]] : entries.slice(0, ENTRIES_MAX);
  const names = differingParts(named.map((line) => line.name));
  const focused = document.activeElement instanceof HTMLElement && element.contains(document.activeElement) ? document.activeElement.dataset.owner : undefined;
  element.hidden = !named.length;
  fill(
    element,
    named.map((line, at) => entry(line, names[at], solo, onSolo)),
    entries.length > named.length ? h("li", { class: "more" }, `+${entries.length - named.length}`) : null,
  );
  if (focused !== undefined) /** @type {HTMLElement | null} */ (element.querySelector(`[data-owner="${CSS.escape(focused)}"]`))?.focus();
}

/** @param {Line} line @param {string} name @param {string} solo @param {(owner: string) => void} onSolo */
function entry(line, name, solo, onSolo) {
  const swatch = h("span", { class: line.dash || line.dashes ? "swatch dashed" : "swatch" });
  swatch.style.background = line.color;
  const isOff = solo !== "" && solo !== line.owner;
  const button = h(
    "button",
    { type: "button", class: isOff ? "legend-entry off" : "legend-entry", "data-owner": line.owner, "aria-pressed": String(solo === line.owner), title: `${line.name}: show only its lines, or all`, onclick: () => onSolo(line.owner) },
    swatch,
    h("span", { class: "legend-name" }, name),
  );
  return h("li", {}, button);
}

/** Build the shape of a chart without values. */
export function skeleton() {
  const curve = "M0 20C15 55 30 70 55 74S90 82 100 84";
  const picture = svg("svg", { viewBox: "0 0 100 100", preserveAspectRatio: "none" }, svg("path", { d: curve }));
  return h("div", { class: "skeleton", "aria-hidden": "true", hidden: true }, picture);
}
