/** Drawings in addition to uPlot's lines: envelopes below them, and marks for NaN. */

import { scaleOf } from "./align.js";
import { withAlpha } from "../ui/palette.js";

/** @typedef {import("../types.js").Line} Line */

const ENVELOPE = 0.16;
const NAN_SIZE = 5;

/** @param {uPlot} plot @param {Line[]} lines @param {(line: Line) => boolean} isLog whether a line's axis is logarithmic */
export function drawEnvelopes(plot, lines, isLog) {
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  for (const line of lines) {
    const floor = isLog(line) ? /** @type {number} */ (plot.scales[scaleOf(line)].min) : -Infinity;
    if (line.low && line.high) drawEnvelope(plot, line, line.low, line.high, floor);
  }
  ctx.restore();
}

/** @param {uPlot} plot @param {Line} line @param {number[]} low @param {number[]} high @param {number} floor */
function drawEnvelope(plot, line, low, high, floor) {
  const { ctx, bbox } = plot;
  const foot = bbox.top + bbox.height;
  const [placeX, placeY] = [placer(plot, "x"), placer(plot, scaleOf(line))];
  /** @param {number} value */
  const y = (value) => (value === Infinity ? bbox.top : Math.min(placeY(Math.max(value, floor)), foot + 10));
  ctx.fillStyle = withAlpha(line.color, ENVELOPE);
  let from = 0;
  while (from < line.x.length) {
    while (from < line.x.length && Number.isNaN(low[from])) from += 1;
    let to = from;
    while (to < line.x.length && !Number.isNaN(low[to])) to += 1;
    if (to - from > 1) {
      const xs = line.x.slice(from, to).map(placeX);
      ctx.beginPath();
      xs.forEach((x, at) => ctx.lineTo(x, y(high[from + at])));
      for (let at = xs.length - 1; at >= 0; at -= 1) ctx.lineTo(xs[at], y(low[from + at]));
      ctx.fill();
    }
    from = to;
  }
}

/**
 * Return a function from values to pixels of the canvas. uPlot's own, which looks everything up for each value, took half
 * of the time of drawing 30 lines.
 * @param {uPlot} plot
 * @param {string} scale
 * @returns {(value: number) => number}
 */
function placer(plot, scale) {
  const { min, max, distr } = plot.scales[scale];
  const [low, high] = [Number(min), Number(max)];
  const [from, to] = [plot.valToPos(low, scale, true), plot.valToPos(high, scale, true)];
  const transform = distr === 3 ? Math.log10 : (/** @type {number} */ value) => value;
  const start = transform(low);
  const factor = (to - from) / (transform(high) - start);
  return (value) => from + (transform(value) - start) * factor;
}

/**
 * Draw a mark at the bottom of the chart wherever a line has NaN.
 * @param {uPlot} plot
 * @param {Line[]} lines
 */
export function drawNaNs(plot, lines) {
  const { ctx, bbox } = plot;
  const size = NAN_SIZE * devicePixelRatio;
  const foot = bbox.top + bbox.height;
  for (const line of lines) {
    ctx.fillStyle = line.color;
    line.nans.forEach((nans, at) => {
      if (!nans) return;
      const x = plot.valToPos(line.x[at], "x", true);
      if (x < bbox.left || x > bbox.left + bbox.width) return;
      ctx.beginPath();
      ctx.moveTo(x, foot - size * 1.6);
      ctx.lineTo(x + size, foot);
      ctx.lineTo(x - size, foot);
      ctx.fill();
    });
  }
}
