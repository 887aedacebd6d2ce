/** The options of uPlot for the axes and the lines of a chart. */

import { axisTitle, increments, linearLabels, logLabels, logTicks, WHOLE_INCREMENTS } from "./axes.js";
import { withAlpha } from "../ui/palette.js";
import { themed } from "../ui/theme.js";

/** @typedef {import("../types.js").Line} Line */
/** @typedef {import("../ui/format.js").Unit} Unit */

const FONT = "11px system-ui, sans-serif";

/** Opacity of the values before smoothing. */
const RAW = 0.28;

/** Pixels that a label takes, along each axis; those of logarithmic axes stand closer. */
const LABEL_WIDTH = 48;
const LABEL_HEIGHT = 32;
const LOG_SPACE = 0.7;

/** Width of a character of a label in pixels, and of the narrowest y axis. */
const CHARACTER = 6.2;
const AXIS_WIDTH = 46;

/**
 * Return the x axis, with a title, and the y axis.
 * @param {{axis: string, logx: boolean, logy: boolean, unit: Unit}} view
 * @returns {uPlot.Axis[]}
 */
export function plotAxes({ axis, logx, logy, unit }) {
  const line = () => themed("--grid");
  const text = () => themed("--muted");
  /** @type {uPlot.Axis} */
  const plain = { stroke: text, font: FONT, grid: { stroke: line, width: 1 }, ticks: { stroke: line, size: 4 } };
  const title = { label: axisTitle(axis), labelSize: 16, labelGap: 0, labelFont: FONT };
  const unitX = axis === "_runtime" ? "s" : "";
  return [
    { ...plain, ...title, size: 26, space: LABEL_WIDTH, ...(axis === "_timestamp" ? {} : ticks(unitX, logx, axis === "_step" ? WHOLE_INCREMENTS : increments(unitX), LABEL_WIDTH)) },
    { ...plain, size: (_, labels) => axisWidth(labels), space: LABEL_HEIGHT, ...ticks(unit, logy, increments(unit), LABEL_HEIGHT) },
  ];
}

/**
 * Return the options of an axis for its ticks and their labels.
 * @param {Unit} unit
 * @param {boolean} log
 * @param {number[] | undefined} incrs
 * @param {number} space pixels for a label
 * @returns {Partial<uPlot.Axis>}
 */
function ticks(unit, log, incrs, space) {
  if (!log) return { incrs, values: (_, splits) => linearLabels(splits, unit) };
  const length = (/** @type {uPlot} */ plot) => (space === LABEL_WIDTH ? plot.width : plot.height);
  return {
    splits: (plot, _, low, high) => logTicks(low, high, Math.max(2, Math.floor(length(plot) / (space * LOG_SPACE))), unit),
    filter: (_, splits) => splits,
    values: (_, splits) => logLabels(splits, unit),
  };
}

/** Return the width of a y axis, which long labels widen. @param {string[] | null} labels */
function axisWidth(labels) {
  const longest = (labels ?? []).reduce((most, label) => Math.max(most, label?.length ?? 0), 0);
  return Math.max(AXIS_WIDTH, Math.ceil(longest * CHARACTER) + 14);
}

/** Return whether points are hidden: those of many lines would cover them. @param {Line} line */
export function hidesPoints(line) {
  return !!line.rank && line.x.length > 1;
}

/** @param {Line} line @returns {uPlot.Series[]} */
export function plotSeries(line) {
  const dash = line.dash ? [6, 3] : undefined;
  const drawn = { label: line.name, stroke: line.color, width: line.rank ? 1 : 1.5, dash, points: hidesPoints(line) ? { show: false } : { size: 5 } };
  return line.raw ? [{ stroke: withAlpha(line.color, RAW), width: 1, dash, points: { show: false } }, drawn] : [drawn];
}
