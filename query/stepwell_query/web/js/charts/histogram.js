/** A logged histogram as bars over the edges of its bins. */

import { h, svg } from "../ui/dom.js";
import { count, short } from "../ui/format.js";

const WIDTH = 300;
const HEIGHT = 120;

/**
 * Draw a histogram.
 * @param {{bins: number[], counts: number[], not_finite?: number | Record<string, number>}} value
 * @param {{name: string}} shown
 */
export function histogramView(value, shown) {
  const { bins, counts } = value;
  const low = Number(bins[0]);
  const span = Number(bins[bins.length - 1]) - low || 1;
  const highest = counts.reduce((high, number) => Math.max(high, number), 1);
  const bars = counts.map((number, at) => {
    const x = ((Number(bins[at]) - low) / span) * WIDTH;
    const right = ((Number(bins[at + 1]) - low) / span) * WIDTH;
    const high = (number / highest) * HEIGHT;
    const title = svg("title", {});
    title.textContent = `${short(Number(bins[at]))} to ${short(Number(bins[at + 1]))}: ${count(number)}`;
    return svg("rect", { x, y: HEIGHT - high, width: Math.max(0.5, right - x - 0.5), height: high }, title);
  });
  const picture = svg("svg", { class: "bars", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" }, ...bars);
  picture.setAttribute("aria-label", `${shown.name}: ${count(counts.reduce((sum, number) => sum + number, 0))} values from ${short(low)} to ${short(low + span)}`);
  const axis = [low, low + span / 2, low + span].map((at) => h("span", {}, short(at)));
  return h("div", { class: "histogram" }, picture, h("div", { class: "histogram-axis" }, axis));
}
