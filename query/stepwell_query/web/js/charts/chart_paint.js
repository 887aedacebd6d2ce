/** Drawings in addition to uPlot's lines: envelopes below them, and marks for NaN. */

import { withAlpha } from "../ui/palette.js";

/** @typedef {import("../types.js").Line} Line */

const ENVELOPE = 0.16;
const NAN_SIZE = 5;

/** @param {uPlot} plot @param {Line[]} lines @param {boolean} logarithmic */
export function drawEnvelopes(plot, lines, logarithmic) {
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  const floor = logarithmic ? /** @type {number} */ (plot.scales.y.min) : -Infinity;
  for (const line of lines) if (line.low && line.high) drawEnvelope(plot, line, line.low, line.high, floor);
  ctx.restore();
}

/** @param {uPlot} plot @param {Line} line @param {number[]} low @param {number[]} high @param {number} floor */
function drawEnvelope(plot, line, low, high, floor) {
  const { ctx, bbox } = plot;
  const foot = bbox.top + bbox.height;
  /** @param {number} value */
  const y = (value) => {
    if (value === Infinity) return bbox.top;
    return Math.min(plot.valToPos(Math.max(value, floor), "y", true), foot + 10);
  };
  ctx.fillStyle = withAlpha(line.color, ENVELOPE);
  let from = 0;
  while (from < line.x.length) {
    while (from < line.x.length && Number.isNaN(low[from])) from += 1;
    let to = from;
    while (to < line.x.length && !Number.isNaN(low[to])) to += 1;
    if (to - from > 1) {
      const xs = line.x.slice(from, to).map((x) => plot.valToPos(x, "x", true));
      ctx.beginPath();
      xs.forEach((x, at) => ctx.lineTo(x, y(high[from + at])));
      for (let at = xs.length - 1; at >= 0; at -= 1) ctx.lineTo(xs[at], y(low[from + at]));
      ctx.fill();
    }
    from = to;
  }
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
