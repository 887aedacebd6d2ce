/** A line chart with uPlot, with envelopes below the lines and marks for NaN. */

import { alignLines, nearest, scaleOf } from "./align.js";
import { valueRange } from "./axes.js";
import { drawEnvelopes, drawNaNs } from "./chart_paint.js";
import { emphasized, onEmphasis } from "./emphasis.js";
import { Highlight } from "./highlight.js";
import { extent } from "./lines.js";
import { hidesPoints, plotAxes, plotSeries } from "./plot_options.js";
import { buildReadout, findHits, pointAt } from "./readout.js";
import { hideTooltip, showTooltip } from "./tooltip.js";

/** @typedef {import("../types.js").Line} Line */

/**
 * @typedef {object} ChartView
 * @property {string} axis the metric on the x axis
 * @property {boolean} logx
 * @property {boolean} logy
 * @property {boolean} outliers
 * @property {[number, number] | null} zoom
 * @property {Unit} unit of the values
 * @property {[number, number] | null} range of the y axis; null: that of the values
 * @property {RightAxis | null} right the second y axis
 * @property {string} base owner of the line from which the tooltip shows differences; "": none
 */

/** @typedef {import("../ui/format.js").Unit} Unit */
/** @typedef {{unit: Unit, log: boolean, range: [number, number] | null}} RightAxis */

const TOOLTIP_ROWS = 14;
/** Greatest distance in pixels of a synchronized cursor from the points that it marks. */
const CURSOR_REACH = 6;
const SYNCED = new Set(["mousemove", "mouseleave"]);

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
    this.view = { axis: "_step", logx: false, logy: false, outliers: false, zoom: null, unit: "", base: "", range: null, right: null };
    this.shape = "";
    this.hovered = false;
    /** @type {Highlight | null} */
    this.highlighted = null;
    this.sizes = new ResizeObserver(() => this.resize());
    this.sizes.observe(container);
    this.offEmphasis = onEmphasis(() => this.highlight(null));
    container.addEventListener("keydown", (event) => this.key(event));
    container.addEventListener("blur", () => this.leave());
  }

  /** @param {Line[]} lines @param {ChartView} view */
  draw(lines, view) {
    this.lines = lines;
    this.view = view;
    const { x, columns } = alignLines(lines, (line) => this.isLog(line));
    const data = /** @type {uPlot.AlignedData} */ (/** @type {unknown} */ ([x, ...columns]));
    const shape = JSON.stringify([view.axis, view.unit, view.logx, view.logy, view.base, view.range, view.right, lines.map((line) => [line.id, line.color, line.dashes, !!line.right, line.dash, !!line.raw, hidesPoints(line)])]);
    if (this.plot && shape === this.shape) {
      this.highlighted?.show([]);
      this.plot.setData(data, true);
      this.highlight(null);
      return;
    }
    this.shape = shape;
    this.plot?.destroy();
    this.highlighted = null;
    this.plot = new uPlot(this.options(), data, this.container);
    this.highlighted = new Highlight(this.plot);
    this.plot.over.addEventListener("mouseenter", () => (this.hovered = true));
    this.plot.over.addEventListener("mouseleave", () => this.leave());
    this.highlight(null);
  }

  /** Remove the drawing: there is nothing to show. */
  clear() {
    if (this.hovered) this.leave();
    this.plot?.destroy();
    this.plot = null;
    this.highlighted = null;
    this.lines = [];
    this.shape = "";
  }

  /** True if the lines are those of many ranks: the hovered one is highlighted, and points would hide lines. */
  get manyRanks() {
    return this.lines.length > 1 && this.lines.every((line) => line.rank);
  }

  leave() {
    this.hovered = false;
    this.highlight(null);
    hideTooltip();
  }

  /**
   * Highlight the lines whose owner is emphasized, otherwise the hovered one of many ranks.
   * @param {Line | null} hovered
   */
  highlight(hovered) {
    const owner = emphasized();
    const owned = owner ? this.lines.filter((line) => line.owner === owner) : [];
    const lines = owned.length ? owned : this.manyRanks && hovered ? [hovered] : [];
    // A line alone stands out already.
    const shown = lines.length < this.lines.length ? lines : [];
    this.container.dataset.highlighted = shown.map((line) => line.name).join();
    this.highlighted?.show(shown);
  }

  resize() {
    if (this.plot && this.container.clientWidth) this.plot.setSize(this.size());
  }

  size() {
    return { width: this.container.clientWidth || 300, height: this.container.clientHeight || 180 };
  }

  destroy() {
    this.sizes.disconnect();
    this.offEmphasis();
    if (this.hovered) hideTooltip();
    this.plot?.destroy();
    this.plot = null;
  }

  /** @returns {uPlot.Options} */
  options() {
    const { axis, logx, logy, right } = this.view;
    return {
      ...this.size(),
      padding: [8, 12, 0, 0],
      legend: { show: false },
      cursor: {
        y: false,
        // Other charts show the cursor; only the dragged chart selects a range.
        sync: { key: `stepwell ${axis}`, setSeries: false, scales: ["x", null], filters: { pub: (type) => SYNCED.has(type), sub: () => true } },
        drag: { x: true, y: false, setScale: false },
        points: { size: 7, width: 1.5, ...(this.manyRanks ? { show: false } : {}) },
        bind: { dblclick: () => () => (this.onZoom(null), null) },
        dataIdx: (plot, series, _, at) => this.indexAt(plot, series, at),
      },
      scales: {
        x: { time: axis === "_timestamp", distr: logx ? 3 : 1, range: (_, low, high) => this.rangeX(low, high) },
        y: { distr: logy ? 3 : 1, range: () => this.rangeY(false) },
        ...(right ? { right: { distr: right.log ? 3 : 1, range: () => this.rangeY(true) } } : {}),
      },
      axes: plotAxes(this.view),
      series: [{}, ...this.lines.flatMap((line) => plotSeries(line, line.owner === this.view.base))],
      hooks: {
        drawClear: [(plot) => drawEnvelopes(plot, this.lines, (line) => this.isLog(line))],
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

  /**
   * Return the range of the y axis, or of the right one.
   * @param {boolean} atRight
   * @returns {[number, number]}
   */
  rangeY(atRight) {
    const { outliers, right } = this.view;
    const axis = atRight && right ? right : { unit: this.view.unit, log: this.view.logy, range: this.view.range };
    const { log } = axis;
    // A logarithmic axis begins above zero, where its values do.
    if (axis.range && (!log || axis.range[0] > 0)) return axis.range;
    const [low, high] = this.shownX();
    const lines = this.lines.filter((line) => !!line.right === atRight);
    return valueRange(extent(lines, low, high, { positive: log, outliers }), axis);
  }

  /** Return whether the axis of a line's values is logarithmic. @param {Line} line */
  isLog(line) {
    return (line.right ? this.view.right?.log : this.view.logy) ?? false;
  }

  /** Return the ranges that the chart shows; null before it is drawn. @returns {Record<"x" | "y" | "right", [number, number]> | null} */
  ranges() {
    if (!this.plot) return null;
    const { min, max } = this.plot.scales.x;
    return { x: [Number(min), Number(max)], y: this.rangeY(false), right: this.rangeY(true) };
  }

  /** @returns {[number, number]} */
  shownX() {
    return this.view.zoom ?? [-Infinity, Infinity];
  }

  /**
   * Return the index of the point that the cursor marks on a series; null: none. On the hovered chart it is the point in
   * the tooltip, on the others one at the same x.
   * @param {uPlot} plot
   * @param {number} series
   * @param {number} at value on x
   */
  indexAt(plot, series, at) {
    const xs = /** @type {number[]} */ (plot.data[0]);
    if (series === 0) return nearest(xs, at);
    const { x } = this.lines[Math.floor((series - 1) / (this.lines[0].raw ? 2 : 1))];
    const point = pointAt(x, at);
    if (point < 0) return null;
    const isNear = Math.abs(plot.valToPos(x[point], "x") - plot.valToPos(at, "x")) <= CURSOR_REACH;
    return this.hovered || isNear ? nearest(xs, x[point]) : null;
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
    const hits = findHits(this.lines, at, (value, line) => Math.abs(plot.valToPos(value, scaleOf(line)) - top));
    this.highlight(hits.length && hits[0].distance < Infinity ? hits[0].line : null);
    if (!hits.length) {
      hideTooltip();
      return;
    }
    const readout = buildReadout(hits, { axis: this.view.axis, at, unit: this.view.unit, most: TOOLTIP_ROWS, base: this.view.base });
    showTooltip(readout, hits.length - readout.rows.length, bounds.left + left, bounds.top + top);
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
      plot.setCursor({ left: plot.valToPos(line.x[index], "x"), top: plot.valToPos(line.y[index], scaleOf(line)) });
    }
  }
}
