/** The hovered line of many, drawn over the others, which fade. The canvas of a thousand lines is not drawn again. */

import { svg } from "../ui/dom.js";

/** @typedef {import("../types.js").Line} Line */

export class Highlight {
  /** @param {uPlot} plot */
  constructor(plot) {
    this.plot = plot;
    /** @type {Line | null} */
    this.line = null;
    this.path = svg("path", { fill: "none", "stroke-width": 2 });
    this.element = svg("svg", { class: "highlight", "aria-hidden": "true" }, svg("rect", { width: "100%", height: "100%" }), this.path);
    this.element.toggleAttribute("hidden", true);
    plot.over.prepend(this.element);
  }

  /** @param {Line | null} line */
  show(line) {
    if (this.line === line) return;
    this.line = line;
    this.draw();
  }

  /** Draw the line where it is now; called after each drawing of the chart. */
  draw() {
    this.element.toggleAttribute("hidden", !this.line);
    if (!this.line) return;
    this.path.setAttribute("stroke", this.line.color);
    this.path.setAttribute("d", pathOf(this.line, (value, scale) => this.plot.valToPos(value, scale)));
  }
}

/**
 * Return the path of a line; it has a gap wherever a point has no position.
 * @param {Pick<Line, "x" | "y">} line
 * @param {(value: number, scale: "x" | "y") => number} place
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
