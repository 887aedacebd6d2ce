/** The options of uPlot for the axes and the lines of a chart. */

import { scaleOf } from "./align.js";
import { axisTitle, increments, linearLabels, logLabels, logTicks, WHOLE_INCREMENTS } from "./axes.js";
import { withAlpha } from "../ui/palette.js";
import { themed } from "../ui/theme.js";

/** @typedef {import("../types.js").Line} Line */
/** @typedef {import("../ui/format.js").Unit} Unit */

const FONT = "11px system-ui, sans-serif";

/** Width of the baseline. */
const BASE_WIDTH = 3;

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
 * Return the x axis, with a title, the y axis, and a second one at the right, if there is one.
 * @param {{axis: string, logx: boolean, logy: boolean, unit: Unit, right: import("./line_chart.js").RightAxis | null}} view
 * @returns {uPlot.Axis[]}
 */
export function plotAxes({ axis, logx, logy, unit, right }) {
  const line = () => themed("--grid");
  const text = () => themed("--muted");
  /** @type {uPlot.Axis} */
  const plain = { stroke: text, font: FONT, grid: { stroke: line, width: 1 }, ticks: { stroke: line, size: 4 } };
  const title = { label: axisTitle(axis), labelSize: 16, labelGap: 0, labelFont: FONT };
  const unitX = axis === "_runtime" ? "s" : "";
  const atRight = right ? [{ ...plain, ...yAxis(right.unit, right.log), scale: "right", side: 1, grid: { show: false } }] : [];
  return [
    { ...plain, ...title, size: 26, space: LABEL_WIDTH, ...(axis === "_timestamp" ? {} : ticks(unitX, logx, axis === "_step" ? WHOLE_INCREMENTS : increments(unitX), LABEL_WIDTH)) },
    { ...plain, ...yAxis(unit, logy) },
    ...atRight,
  ];
}

/** @param {Unit} unit @param {boolean} log @returns {uPlot.Axis} */
function yAxis(unit, log) {
  return { size: (_, labels) => axisWidth(labels), space: LABEL_HEIGHT, ...ticks(unit, log, increments(unit), LABEL_HEIGHT) };
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

/** @param {Line} line @param {boolean} isBase whether it is that of the baseline @returns {uPlot.Series[]} */
export function plotSeries(line, isBase) {
  const dash = line.dashes ?? (line.dash ? [6, 3] : undefined);
  const scale = scaleOf(line);
  const drawn = { label: line.name, scale, stroke: line.color, width: line.rank ? 1 : isBase ? BASE_WIDTH : 1.5, dash, points: hidesPoints(line) ? { show: false } : { size: 5 } };
  return line.raw ? [{ scale, stroke: withAlpha(line.color, RAW), width: 1, dash, points: { show: false } }, drawn] : [drawn];
}
