/** A line chart with uPlot, with envelopes below the lines and marks for NaN. */

import { alignLines, nearest } from "./align.js";
import { withAlpha } from "../ui/palette.js";
import { drawEnvelopes, drawNaNs } from "./chart_paint.js";
import { count, exact, short } from "../ui/format.js";
import { Highlight } from "./highlight.js";
import { extent } from "./lines.js";
import { hideTooltip, showTooltip } from "./tooltip.js";
import { themed } from "../ui/theme.js";

/** @typedef {import("../types.js").Line} Line */

/**
 * @typedef {object} ChartView
 * @property {string} axis the metric on the x axis
 * @property {boolean} logx
 * @property {boolean} logy
 * @property {boolean} outliers
 * @property {[number, number] | null} zoom
 */

const RAW = 0.28;
const FONT = "11px system-ui, sans-serif";

export class LineChart {
  /**
   * @param {HTMLElement} container
   * @param {(zoom: [number, number] | null) => void} onZoom called with a dragged range; null: the whole range
   */
  constructor(container, onZoom) {
    this.container = container;
    this.onZoom = onZoom;
    /** @type {uPlot | null} */
    this.plot = null;
    /** @type {Line[]} */
    this.lines = [];
    /** @type {ChartView} */
    this.view = { axis: "_step", logx: false, logy: false, outliers: false, zoom: null };
    this.shape = "";
    this.hovered = false;
    /** @type {Highlight | null} */
    this.highlighted = null;
    this.sizes = new ResizeObserver(() => this.resize());
    this.sizes.observe(container);
    container.addEventListener("keydown", (event) => this.key(event));
    container.addEventListener("blur", () => this.leave());
  }

  /** @param {Line[]} lines @param {ChartView} view */
  draw(lines, view) {
    this.lines = lines;
    this.view = view;
    const { x, columns } = alignLines(lines, view.logy);
    const data = /** @type {uPlot.AlignedData} */ (/** @type {unknown} */ ([x, ...columns]));
    const shape = JSON.stringify([view.axis, view.logx, view.logy, lines.map((line) => [line.id, line.color, line.dash, !!line.raw, hidesPoints(line)])]);
    if (this.plot && shape === this.shape) {
      this.highlighted?.show(null);
      this.plot.setData(data, true);
      return;
    }
    this.shape = shape;
    this.plot?.destroy();
    this.highlighted = null;
    this.plot = new uPlot(this.options(), data, this.container);
    this.highlighted = new Highlight(this.plot);
    this.plot.over.addEventListener("mouseenter", () => (this.hovered = true));
    this.plot.over.addEventListener("mouseleave", () => this.leave());
  }

  /** True if the lines are those of many ranks: the hovered one is highlighted, and points would hide lines. */
  get manyRanks() {
    return this.lines.length > 1 && this.lines.every((line) => line.rank);
  }

  leave() {
    this.hovered = false;
    this.highlight(-1);
    hideTooltip();
  }

  /**
   * Highlight one of the lines of ranks; -1: none.
   * @param {number} index
   */
  highlight(index) {
    const line = this.manyRanks ? (this.lines[index] ?? null) : null;
    this.container.dataset.highlighted = line?.name ?? "";
    this.highlighted?.show(line);
  }

  resize() {
    if (this.plot && this.container.clientWidth) this.plot.setSize(this.size());
  }

  size() {
    return { width: this.container.clientWidth || 300, height: this.container.clientHeight || 180 };
  }

  destroy() {
    this.sizes.disconnect();
    if (this.hovered) hideTooltip();
    this.plot?.destroy();
    this.plot = null;
  }

  /** @returns {uPlot.Options} */
  options() {
    const { axis, logx, logy } = this.view;
    const line = () => themed("--grid");
    const text = () => themed("--muted");
    /** @type {uPlot.Axis} */
    const plain = { stroke: text, font: FONT, grid: { stroke: line, width: 1 }, ticks: { stroke: line, size: 4 } };
    const isStep = axis === "_step";
    return {
      ...this.size(),
      padding: [8, 12, 0, 0],
      legend: { show: false },
      cursor: {
        sync: { key: `stepwell ${axis}`, setSeries: false, scales: ["x", null] },
        drag: { x: true, y: false, setScale: false },
        points: { size: 7, width: 1.5, ...(this.manyRanks ? { show: false } : {}) },
        bind: { dblclick: () => () => (this.onZoom(null), null) },
        dataIdx: (plot, series, _, at) => this.indexAt(plot, series, at),
      },
      scales: {
        x: { time: axis === "_timestamp", distr: logx ? 3 : 1, range: (_, low, high) => this.rangeX(low, high) },
        y: { distr: logy ? 3 : 1, range: () => this.rangeY() },
      },
      axes: [
        { ...plain, size: 28, space: 60, ...(axis === "_timestamp" ? {} : { values: (_, ticks) => ticks.map(tick), incrs: isStep ? STEP_INCREMENTS : undefined }) },
        { ...plain, size: 52, space: 32, values: (_, ticks) => ticks.map(tick) },
      ],
      series: [{}, ...this.lines.flatMap((line) => plotSeries(line))],
      hooks: {
        drawClear: [(plot) => drawEnvelopes(plot, this.lines, this.view.logy)],
        draw: [(plot) => drawNaNs(plot, this.lines), () => this.highlighted?.draw()],
        setSelect: [(plot) => this.selected(plot)],
        setCursor: [(plot) => this.hover(plot)],
      },
    };
  }

  /** @param {number} low @param {number} high @returns {[number, number]} */
  rangeX(low, high) {
    const { zoom, logx } = this.view;
    if (zoom) return logx ? [Math.max(zoom[0], 1e-9), zoom[1]] : zoom;
    if (low === null || high === null) return [0, 1];
    if (logx) return low > 0 ? [low, Math.max(high, low * 1.01)] : [Math.min(1, high || 1), Math.max(high, 10)];
    return low === high ? [low - 1, high + 1] : [low, high];
  }

  /** @returns {[number, number]} */
  rangeY() {
    const { logy, outliers } = this.view;
    const [low, high] = this.shownX();
    const range = extent(this.lines, low, high, { positive: logy, outliers });
    if (!range) return logy ? [0.1, 1] : [0, 1];
    if (logy) return [range[0] / 1.15, range[1] * 1.15];
    const pad = (range[1] - range[0]) * 0.06 || Math.abs(range[1]) * 0.1 || 1;
    return [range[0] - pad, range[1] + pad];
  }

  /** @returns {[number, number]} */
  shownX() {
    return this.view.zoom ?? [-Infinity, Infinity];
  }

  /** @param {uPlot} plot @param {number} series @param {number} at value on x */
  indexAt(plot, series, at) {
    const index = nearest(/** @type {number[]} */ (plot.data[0]), at);
    const column = plot.data[series];
    if (series === 0 || column[index] !== undefined) return index;
    // If the line has no point at this index, return its nearest point.
    for (let off = 1; off < column.length; off += 1) {
      if (column[index - off] !== undefined && index - off >= 0) return index - off;
      if (column[index + off] !== undefined) return index + off;
    }
    return index;
  }

  /** @param {uPlot} plot */
  selected(plot) {
    const { left, width } = plot.select;
    if (width < 4) return;
    const low = plot.posToVal(left, "x");
    const high = plot.posToVal(left + width, "x");
    plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    if (high > low) this.onZoom([low, high]);
  }

  /** @param {uPlot} plot */
  hover(plot) {
    const { left, top } = plot.cursor;
    if (!this.hovered || left === undefined || left < 0 || top === undefined) return;
    const at = plot.posToVal(left, "x");
    const bounds = plot.over.getBoundingClientRect();
    const near = this.lines.length ? nearest(this.lines[0].x, at) : -1;
    let least = Infinity;
    let closest = -1;
    const rows = this.lines.flatMap((line, number) => {
      const { x, y } = line;
      const index = nearest(x, at);
      const outside = index < 0 || at < x[0] - meanGap(x) || at > x[x.length - 1] + meanGap(x);
      if (outside) return [];
      const position = Number.isFinite(y[index]) ? plot.valToPos(y[index], "y") : Infinity;
      const distance = Math.abs(position - top);
      if (distance < least) [least, closest] = [distance, number];
      return [{ name: line.name, color: line.color, value: y[index], notes: tooltipNotes(line, index), distance }];
    });
    this.highlight(closest);
    const title = near >= 0 ? tooltipTitle(this.view.axis, at, this.lines) : "";
    if (rows.length) showTooltip(title, rows, bounds.left + left, bounds.top + top);
    else hideTooltip();
  }

  /**
   * Handle keys: arrow keys move along the points, Escape leaves the chart.
   * @param {KeyboardEvent} event
   */
  key(event) {
    const { plot } = this;
    const moves = { ArrowLeft: -1, ArrowRight: 1, PageDown: 20, PageUp: -20 }[event.key];
    if (!plot || !this.lines.length) return;
    if (event.key === "Escape" && this.hovered) {
      plot.setCursor({ left: -10, top: -10 });
      this.leave();
    } else if (moves !== undefined) {
      event.preventDefault();
      const line = this.lines[0];
      const from = plot.cursor.left !== undefined && plot.cursor.left >= 0 ? nearest(line.x, plot.posToVal(plot.cursor.left, "x")) + moves : 0;
      const index = Math.max(0, Math.min(line.x.length - 1, from));
      this.hovered = true;
      plot.setCursor({ left: plot.valToPos(line.x[index], "x"), top: plot.valToPos(line.y[index], "y") });
    }
  }
}

const STEP_INCREMENTS = [1, 2, 5].flatMap((digit) => Array.from({ length: 15 }, (_, power) => digit * 10 ** power)).sort((a, b) => a - b);

/** @param {number | null} value */
function tick(value) {
  return value === null ? "" : short(value);
}

/** @param {number[]} x */
function meanGap(x) {
  return x.length > 1 ? (x[x.length - 1] - x[0]) / (x.length - 1) : Infinity;
}

/** Return whether points are hidden: those of many lines would cover them. @param {Line} line */
function hidesPoints(line) {
  return !!line.rank && line.x.length > 1;
}

/** @param {Line} line @returns {uPlot.Series[]} */
function plotSeries(line) {
  const dash = line.dash ? [6, 3] : undefined;
  const drawn = { label: line.name, stroke: line.color, width: line.rank ? 1 : 1.5, dash, points: hidesPoints(line) ? { show: false } : { size: 5 } };
  return line.raw ? [{ stroke: withAlpha(line.color, RAW), width: 1, dash, points: { show: false } }, drawn] : [drawn];
}

/** @param {Line} line @param {number} at */
function tooltipNotes(line, at) {
  const notes = [];
  if (line.raw) notes.push(`not smoothed ${exact(line.raw[at])}`);
  if (line.band === "ranks") {
    const [low, high] = [/** @type {number[]} */ (line.low)[at], /** @type {number[]} */ (line.high)[at]];
    notes.push(`${short(low)} ${line.owners?.low[at]} … ${short(high)} ${line.owners?.high[at]}`, `${count(line.counts[at])} ranks`);
  } else if (line.band !== "min–max") {
    const spread = (/** @type {number[]} */ (line.high)[at] - /** @type {number[]} */ (line.low)[at]) / 2;
    if (!Number.isNaN(spread)) notes.push(`± ${short(spread)}`);
    notes.push(line.counts[at] === 1 ? "1 run" : `${line.counts[at]} runs`);
  } else if (line.counts[at] > 1) {
    notes.push(`mean of ${count(line.counts[at])}`);
    if (line.low && line.high) notes.push(`${exact(line.low[at])} … ${exact(line.high[at])}`);
    notes.push(`last ${exact(line.last[at])}`);
  }
  if (line.nans[at]) notes.push(line.nans[at] > 1 ? `${count(line.nans[at])} × NaN` : "NaN");
  return notes;
}

/** @param {string} axis @param {number} at @param {Line[]} lines */
function tooltipTitle(axis, at, lines) {
  // The x nearest to the cursor among the points of all lines.
  const xs = lines.map((line) => line.x[nearest(line.x, at)]).filter((x) => x !== undefined);
  const x = xs.reduce((best, candidate) => (Math.abs(candidate - at) < Math.abs(best - at) ? candidate : best), xs[0]);
  if (axis === "_timestamp") return new Date(x * 1000).toLocaleString();
  if (axis === "_runtime") return `${exact(x)} s after the start`;
  return `${axis === "_step" ? "step" : axis} ${exact(x)}`;
}
