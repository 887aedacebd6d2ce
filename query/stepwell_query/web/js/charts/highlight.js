/** Lines drawn over the others, which fade. The canvas of a thousand lines is not drawn again. */

import { scaleOf } from "./align.js";
import { svg } from "../ui/dom.js";

/** @typedef {import("../types.js").Line} Line */

export class Highlight {
  /** @param {uPlot} plot */
  constructor(plot) {
    this.plot = plot;
    /** @type {Line[]} */
    this.lines = [];
    this.paths = svg("g", { fill: "none", "stroke-width": 2.5 });
    this.element = svg("svg", { class: "highlight", "aria-hidden": "true" }, svg("rect", { width: "100%", height: "100%" }), this.paths);
    this.element.toggleAttribute("hidden", true);
    plot.over.prepend(this.element);
  }

  /** @param {Line[]} lines */
  show(lines) {
    if (this.lines.length === lines.length && this.lines.every((line, at) => line === lines[at])) return;
    this.lines = lines;
    this.draw();
  }

  /** Draw the lines where they are now; called after each drawing of the chart. */
  draw() {
    this.element.toggleAttribute("hidden", !this.lines.length);
    const path = (/** @type {Line} */ line) => pathOf(line, (value, axis) => this.plot.valToPos(value, axis === "y" ? scaleOf(line) : axis));
    this.paths.replaceChildren(...this.lines.map((line) => svg("path", { stroke: line.color, d: path(line) })));
  }
}

/**
 * Return the path of a line; it has a gap wherever a point has no position.
 * @param {Pick<Line, "x" | "y">} line
 * @param {(value: number, axis: "x" | "y") => number} place
 */
export function pathOf({ x, y }, place) {
  let joined = false;
  /** @type {string[]} */
  const parts = [];
  x.forEach((value, at) => {
    const [left, top] = [place(value, "x"), Number.isFinite(y[at]) ? place(y[at], "y") : NaN];
    const placed = Number.isFinite(left) && Number.isFinite(top);
    if (placed) parts.push(`${joined ? "L" : "M"}${left.toFixed(1)} ${top.toFixed(1)}`);
    joined = placed;
  });
  return parts.join("");
}
