/** A chart as an SVG picture of its own, without the page's styles: title, axes, lines, bands and legend on white. */

import { axisTitle, CLOCK_INCREMENTS, evenTicks, increments, linearLabels, logLabels, logTicks, PLAIN_INCREMENTS, WHOLE_INCREMENTS } from "./axes.js";
import { pathOf } from "./highlight.js";
import { time } from "../ui/format.js";

/** @typedef {import("../types.js").Line} Line */
/** @typedef {import("../ui/format.js").Unit} Unit */

/**
 * @typedef {object} Snapshot What a chart shows.
 * @property {string} title
 * @property {string} place entity and project
 * @property {string[]} notes range, smoothing, sampling
 * @property {Line[]} lines in the colours of the light theme
 * @property {import("./line_chart.js").ChartView} view
 * @property {Record<"x" | "y" | "right", [number, number]>} ranges
 */

/** @typedef {{low: number, high: number, log: boolean, from: number, to: number}} Scale from values to pixels */

const WIDTH = 960;
const PLOT_HEIGHT = 420;
const TOP = 62;
const MARGIN = 24;
const AXIS = 56;
const FOOT = 48;
const ROW = 20;
const CHARACTER = 6.7;
const SWATCH = 30;
const [TEXT, MUTED, GRID] = ["#1d232b", "#5a6572", "#e3e7eb"];
const FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif";
const NAN_SIZE = 5;

/**
 * Draw a chart.
 * @param {Snapshot} snapshot
 * @returns {{text: string, width: number, height: number}} `text`: the document
 */
export function chartSvg({ title, place, notes, lines, view, ranges }) {
  const atRight = lines.some((line) => line.right);
  const box = { left: MARGIN + AXIS, top: TOP, right: WIDTH - MARGIN - (atRight ? AXIS : 0), bottom: TOP + PLOT_HEIGHT };
  const x = scale(ranges.x, view.logx, box.left, box.right);
  const left = scale(ranges.y, view.logy, box.bottom, box.top);
  const right = scale(ranges.right, !!view.right?.log, box.bottom, box.top);
  const legend = drawLegend(lines, box.bottom + FOOT);
  const height = box.bottom + FOOT + legend.height + MARGIN;
  const clip = `<clipPath id="plot"><rect x="${box.left}" y="${box.top}" width="${box.right - box.left}" height="${PLOT_HEIGHT}"/></clipPath>`;
  const parts = [
    `<rect width="${WIDTH}" height="${height}" fill="#ffffff"/>`,
    `<defs>${clip}</defs>`,
    label(MARGIN, 28, title, { size: 18, weight: 650 }),
    label(MARGIN, 48, [place, ...notes].join(" · "), { size: 12, fill: MUTED }),
    ...xAxis(x, view.axis, box),
    ...(lines.some((line) => !line.right) || !atRight ? yAxis(left, view.unit, box, false) : []),
    ...(atRight ? yAxis(right, view.right?.unit ?? "", box, true) : []),
    `<g clip-path="url(#plot)" fill="none">`,
    ...lines.map((line) => drawBand(line, x, line.right ? right : left)),
    ...lines.map((line) => drawLine(line, x, line.right ? right : left, line.owner === view.base)),
    ...lines.map((line) => drawNaNs(line, x, box.bottom)),
    "</g>",
    label((box.left + box.right) / 2, box.bottom + 36, axisTitle(view.axis), { size: 12, fill: MUTED, anchor: "middle" }),
    legend.text,
  ];
  const text = `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" font-family="${FONT}" role="img"><title>${escapeXml(title)}</title>${parts.join("")}</svg>`;
  return { text, width: WIDTH, height };
}

/** @param {[number, number]} range @param {boolean} log @param {number} from @param {number} to @returns {Scale} */
function scale([low, high], log, from, to) {
  return { low, high, log, from, to };
}

/** Return the position of a value; NaN for one that the scale has no place for. @param {Scale} scale @param {number} value */
function place({ low, high, log, from, to }, value) {
  const share = log ? (value > 0 ? Math.log(value / low) / Math.log(high / low) : NaN) : (value - low) / (high - low);
  return from + share * (to - from);
}

/** @param {Scale} x @param {string} axis @param {{top: number, bottom: number, left: number, right: number}} box */
function xAxis(x, axis, box) {
  const most = 9;
  const unit = axis === "_runtime" ? "s" : "";
  /** @type {{ticks: number[], labels: string[]}} */
  let marks;
  if (x.log) {
    const ticks = logTicks(x.low, x.high, most, unit);
    marks = { ticks, labels: logLabels(ticks, unit) };
  } else if (axis === "_timestamp") marks = clockTicks(x.low, x.high, most - 2);
  else {
    const ticks = evenTicks(x.low, x.high, axis === "_step" ? WHOLE_INCREMENTS : (increments(unit) ?? PLAIN_INCREMENTS), most);
    marks = { ticks, labels: linearLabels(ticks, unit) };
  }
  return marks.ticks.map((tick, at) => {
    const left = place(x, tick);
    return line(left, box.top, left, box.bottom) + label(left, box.bottom + 17, marks.labels[at], { size: 11, fill: MUTED, anchor: "middle" });
  });
}

/**
 * Return the ticks of a time axis at even local times, and their labels.
 * @param {number} low seconds since the epoch
 * @param {number} high
 * @param {number} most
 */
export function clockTicks(low, high, most) {
  const offset = -new Date(low * 1000).getTimezoneOffset() * 60;
  const ticks = evenTicks(low + offset, high + offset, CLOCK_INCREMENTS, most).map((tick) => tick - offset);
  const gap = ticks.length > 1 ? ticks[1] - ticks[0] : 1;
  const [from, to] = gap >= 86_400 ? [0, 10] : high - low > 86_400 ? [5, 16] : gap >= 60 ? [11, 16] : [11, 19];
  return { ticks, labels: ticks.map((tick) => time(new Date(tick * 1000).toISOString()).slice(from, to)) };
}

/** @param {Scale} y @param {Unit} unit @param {{top: number, bottom: number, left: number, right: number}} box @param {boolean} atRight */
function yAxis(y, unit, box, atRight) {
  const most = 8;
  const ticks = y.log ? logTicks(y.low, y.high, most, unit) : evenTicks(y.low, y.high, increments(unit) ?? PLAIN_INCREMENTS, most);
  const labels = y.log ? logLabels(ticks, unit) : linearLabels(ticks, unit);
  return ticks.map((tick, at) => {
    const top = place(y, tick);
    const text = label(atRight ? box.right + 8 : box.left - 8, top + 4, labels[at], { size: 11, fill: MUTED, anchor: atRight ? "start" : "end" });
    return (atRight ? "" : line(box.left, top, box.right, top)) + text;
  });
}

/** @param {Line} drawn @param {Scale} x @param {Scale} y */
function drawBand({ x: xs, low, high, color }, x, y) {
  if (!low || !high) return "";
  // A band reaches the edge of the plot where it has no end, and its foot on a logarithmic axis.
  const top = (/** @type {number} */ at) => clamp(high[at] === Infinity ? y.to : place(y, high[at]), y);
  const foot = (/** @type {number} */ at) => clamp(low[at] === -Infinity || (y.log && low[at] <= 0) ? y.from : place(y, low[at]), y);
  const areas = [];
  for (let from = 0; from < xs.length; ) {
    let to = from;
    while (to < xs.length && !Number.isNaN(low[to]) && !Number.isNaN(high[to])) to += 1;
    if (to - from > 1) {
      const indexes = Array.from({ length: to - from }, (_, at) => from + at);
      areas.push([...indexes.map((at) => `${round(place(x, xs[at]))} ${round(top(at))}`), ...indexes.reverse().map((at) => `${round(place(x, xs[at]))} ${round(foot(at))}`)].join("L"));
    }
    from = Math.max(to, from + 1);
  }
  return areas.map((area) => `<path d="M${area}Z" fill="${color}" fill-opacity="0.16"/>`).join("");
}

/** Keep a position near the plot: numbers without bounds draw nothing. @param {number} at @param {Scale} scale */
function clamp(at, { from, to }) {
  return Number.isNaN(at) ? from : Math.max(Math.min(from, to) - 10, Math.min(at, Math.max(from, to) + 10));
}

/** @param {Line} drawn @param {Scale} x @param {Scale} y @param {boolean} isBase */
function drawLine(drawn, x, y, isBase) {
  const at = (/** @type {number} */ value, /** @type {"x" | "y"} */ axis) => place(axis === "x" ? x : y, value);
  const dash = drawn.dashes ?? (drawn.dash ? [6, 3] : []);
  const stroke = `stroke="${drawn.color}" stroke-linejoin="round"${dash.length ? ` stroke-dasharray="${dash.join(" ")}"` : ""}`;
  const raw = drawn.raw ? `<path d="${pathOf({ x: drawn.x, y: drawn.raw }, at)}" ${stroke} stroke-opacity="0.28"/>` : "";
  const own = `<path d="${pathOf(drawn, at)}" ${stroke} stroke-width="${isBase ? 3 : drawn.rank ? 1 : 1.6}"/>`;
  const alone = drawn.x.length === 1 && Number.isFinite(at(drawn.y[0], "y")) ? `<circle cx="${round(at(drawn.x[0], "x"))}" cy="${round(at(drawn.y[0], "y"))}" r="3" fill="${drawn.color}"/>` : "";
  return raw + own + alone;
}

/** @param {Line} drawn @param {Scale} x @param {number} foot */
function drawNaNs({ x: xs, nans, color }, x, foot) {
  const marks = nans.flatMap((number, at) => (number ? [round(place(x, xs[at]))] : []));
  return marks.map((left) => `<path d="M${left} ${foot - NAN_SIZE * 1.6}l${NAN_SIZE} ${NAN_SIZE * 1.6}h${-2 * NAN_SIZE}Z" fill="${color}"/>`).join("");
}

/** @param {Line[]} lines @param {number} top */
function drawLegend(lines, top) {
  const longest = lines.reduce((most, { name }) => Math.max(most, name.length), 1);
  const room = WIDTH - 2 * MARGIN;
  const columns = Math.max(1, Math.min(lines.length, Math.floor(room / (SWATCH + longest * CHARACTER + 16))));
  const each = room / columns;
  const entries = lines.map(({ name, color, dash, dashes }, at) => {
    const left = MARGIN + (at % columns) * each;
    const y = top + Math.floor(at / columns) * ROW + 12;
    const pattern = dashes ?? (dash ? [6, 3] : []);
    const swatch = `<path d="M${round(left)} ${y - 4}h22" stroke="${color}" stroke-width="3"${pattern.length ? ` stroke-dasharray="${pattern.join(" ")}"` : ""}/>`;
    return swatch + label(left + SWATCH, y, name, { size: 12 });
  });
  return { text: entries.join(""), height: Math.ceil(lines.length / columns) * ROW };
}

/** @param {number} x1 @param {number} y1 @param {number} x2 @param {number} y2 */
function line(x1, y1, x2, y2) {
  return `<path d="M${round(x1)} ${round(y1)}L${round(x2)} ${round(y2)}" stroke="${GRID}"/>`;
}

/**
 * @param {number} x
 * @param {number} y
 * @param {string} text
 * @param {{size: number, fill?: string, weight?: number, anchor?: string}} style
 */
function label(x, y, text, { size, fill = TEXT, weight, anchor }) {
  return `<text x="${round(x)}" y="${round(y)}" font-size="${size}" fill="${fill}"${weight ? ` font-weight="${weight}"` : ""}${anchor ? ` text-anchor="${anchor}"` : ""}>${escapeXml(text)}</text>`;
}

/** @param {number} value */
function round(value) {
  return Math.round(value * 10) / 10;
}

/** Escape a text; characters that XML can't contain are left out. @param {string} text */
export function escapeXml(text) {
  const entities = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };
  return text.replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g, "").replace(/[&<>"]/g, (character) => entities[/** @type {keyof typeof entities} */ (character)]);
}
