/** A panel with a line chart: one metric of all shown runs. */

import { LineChart } from "../charts/line_chart.js";
import { fill, h, iconButton } from "../ui/dom.js";
import { metricUnit } from "../charts/axes.js";
import { count, readable } from "../ui/format.js";
import { buildLines, haveValues } from "../charts/lines.js";
import { withEdges, zoomedPart } from "../charts/zoomed.js";
import { buildLegend, skeleton } from "./legend.js";
import { formatMissing, runsWithoutAxis } from "./missing_axis.js";
import { Panel } from "./panel.js";
import { formatRemoved } from "./removed_rows.js";
import { groupSeriesId, pointsPerLine } from "../series/request_planner.js";
import { rankColor } from "../ui/palette.js";
import { shownColor, theme } from "../ui/theme.js";

/** @typedef {import("../types.js").Points} Points */
/** @typedef {import("../types.js").ViewState} ViewState */
/** @typedef {import("../series/request_planner.js").Part} Part */

const POINTS = 1000;
const POINTS_LARGE = 2000;
const SLIDER_MS = 150;

export class LinePanel extends Panel {
  /** @param {ConstructorParameters<typeof Panel>} given */
  constructor(...given) {
    super(...given);
    this.canvas = h("div", { class: "chart", tabindex: "0", role: "img", "aria-label": this.spec.key });
    this.legend = h("ul", { class: "legend", "aria-label": "Runs" });
    this.skeleton = skeleton();
    this.body.append(this.canvas, this.skeleton, this.legend);
    /** @type {import("../ui/format.js").Unit} */
    this.unit = metricUnit(this.spec.key, this.spec.timed);
    this.axis = "_step";
    this.chart = new LineChart(this.canvas, (zoom) => this.zoomTo(zoom));
    // The chip that resets the range is above the panels, which an enlarged one covers.
    this.reset = iconButton("reset", "Show the whole range", () => this.zoomTo(null), { hidden: true });
    this.scale = h("button", { type: "button", class: "text-button", title: "Linear or logarithmic y axis", onclick: () => this.toggleLog() }, "log");
    this.menu = iconButton("menu", `Menu of ${this.spec.key}`, () => this.openMenu(), { "aria-haspopup": "menu" });
    this.buttons.prepend(this.reset, this.scale, this.menu);
    /** @type {(() => void) | null} */
    this.unsubscribeWhole = null;
    /** @type {(() => void) | null} */
    this.unsubscribeZoomed = null;
    /** @type {Map<string, Points[]>} the whole range, by part */
    this.whole = new Map();
    /** @type {Map<string, Points[]> | null} the zoomed range, by part */
    this.zoomed = null;
    this.wholeQuery = "";
    this.zoomedQuery = "";
    this.zoomedParts = "";
    this.drawnKey = "";
    this.missingText = "\n";
    this.update();
  }

  destroy() {
    super.destroy();
    this.unsubscribeWhole?.();
    this.unsubscribeZoomed?.();
    this.chart.destroy();
  }

  get view() {
    const view = this.space.store.view;
    const own = view.panels[this.spec.key] ?? {};
    const x = view.x || (this.spec.timed ? "_runtime" : "");
    /** @type {[number, number] | null} */
    const zoom = view.zoom && view.zoom.axis === this.axis ? [view.zoom.low, view.zoom.high] : null;
    return { view, x, zoom, log: own.log ?? view.logy };
  }

  toggleLog() {
    this.space.store.setPanel(this.spec.key, { log: !this.view.log }, { step: true });
  }

  /** Open the menu: what can be taken away, and more metrics. */
  async openMenu() {
    const { openMenu } = await import("./panel_menu.js");
    openMenu(this.menu, this);
  }

  /** Zoom all charts over the same axis. @param {[number, number] | null} zoom */
  zoomTo(zoom) {
    this.space.store.set({ zoom: zoom && { axis: this.axis, low: zoom[0], high: zoom[1] } }, { step: true });
  }

  update() {
    const parts = this.parts();
    const query = this.query(parts);
    const text = JSON.stringify(query);
    if (text !== this.wholeQuery) {
      this.wholeQuery = text;
      this.zoomedQuery = "";
      this.zoomed = null;
      this.unsubscribeWhole?.();
      this.unsubscribeWhole = parts.length
        ? this.space.series.subscribe(query, (series, error) => {
            this.whole = series;
            this.axis = [...series.values()].flat().find((points) => points.x.length)?.axis ?? this.axis;
            this.received(error);
          })
        : null;
      if (!parts.length) this.whole = new Map();
    }
    this.queryZoomed();
    // Runs are updated once a second; most updates do not affect the drawing.
    if (this.drawingKey() !== this.drawnKey) this.draw();
  }

  /** @returns {Part[]} */
  parts() {
    const { x } = this.view;
    const { members, writers } = this.spec;
    const bySteps = x === "_step" || (x === "" && !this.space.drawnRuns.overOthers(this.spec.folded));
    if (members.length) return this.drawn().map(({ id, run, metric }) => ({ id, runs: [/** @type {string} */ (run)], metric }));
    const { ranks } = this;
    // Over another axis, the page aggregates the lines of the ranks.
    /** @type {Part["ranks"]} */
    const asked = ranks && { mode: ranks === "band" && bySteps ? "band" : "lines", writers };
    return this.space.drawnRuns.all().flatMap(({ id, runs, group }) =>
      /** @type {Part[]} */ (group && bySteps ? [{ id: groupSeriesId(id), group: id, runs: [...runs].sort() }] : runs.map((run) => ({ id: run, runs: [run], ...(asked ? { ranks: asked } : {}) }))),
    );
  }

  /** The way in which the ranks of a run are drawn; undefined: only the primary one, or there is no other. */
  get ranks() {
    const { ranks } = this.space.store.view;
    return this.space.ofRun && this.spec.writers > 1 && ranks !== "primary" ? ranks : undefined;
  }

  /**
   * Return what the panel draws: the shown runs, or the metric of each rank.
   * @returns {(import("../charts/lines.js").Drawn & {run?: string, metric?: {key: string, folded: string}})[]}
   */
  drawn() {
    const drawn = this.space.drawnRuns.all();
    const { members } = this.spec;
    if (!members.length) return this.ranks ? drawn.map((run) => ({ ...run, ranks: this.ranks })) : drawn;
    return drawn.flatMap(({ color, runs: [run], name }) =>
      members.map(({ rank, key, folded }, at) => {
        const id = `${run} ${rank}`;
        const one = { id, run, runs: [id], metric: { key, folded }, group: false };
        if (members.length === 1) return { ...one, name: this.space.store.view.rank ? rank : name, owner: rank, color };
        return { ...one, name: rank, owner: rank, color: rankColor(at, members.length), ranks: /** @type {const} */ ("line") };
      }),
    );
  }

  /** @param {Part[]} parts @param {number} [smoothing] */
  query(parts, smoothing) {
    const { key, folded, writers } = this.spec;
    const lines = parts.some(({ ranks }) => ranks?.mode === "lines") ? writers : parts.length;
    const points = this.space.ofRun ? pointsPerLine(this.large ? POINTS_LARGE : POINTS, lines) : this.large ? POINTS_LARGE : POINTS;
    return { key, folded, x: this.view.x, points, parts, smoothing };
  }

  /** Return a key of everything that the drawing depends on, except the points. */
  drawingKey() {
    const { view, x, zoom, log } = this.view;
    return JSON.stringify([theme(), this.drawn(), x, zoom, log, view.smooth, view.logx, view.outliers, view.solo, view.legend, view.base]);
  }

  /** @param {import("../api/service.js").ApiError | null} error */
  received(error) {
    if (error && !this.whole.size) {
      this.showStatus(error.message, () => this.space.series.retry());
      return;
    }
    this.hideStatus();
    this.queryZoomed();
    this.draw();
  }

  /** Subscribe to the zoomed range, with finer buckets down to single rows. */
  queryZoomed() {
    const { zoom, view } = this.view;
    if (!zoom) {
      this.unsubscribeZoomed?.();
      this.unsubscribeZoomed = null;
      this.zoomed = null;
      this.zoomedQuery = "";
      this.canvas.setAttribute("aria-busy", "false");
      return;
    }
    const parts = this.parts().flatMap((part) => zoomedPart(part, this.whole.get(part.id) ?? [], zoom));
    // The average depends on points before the zoomed range, and on the number of rows per point.
    const query = this.query(parts, view.smooth.kind === "ema" ? view.smooth.amount : undefined);
    const text = JSON.stringify(query);
    if (!parts.length || text === this.zoomedQuery) return;
    const range = JSON.stringify(parts);
    // A zoom is requested immediately, a smoothing slider only when it rests.
    const delay = this.zoomed && range === this.zoomedParts ? SLIDER_MS : 0;
    this.zoomedQuery = text;
    this.zoomedParts = range;
    this.unsubscribeZoomed?.();
    const subscribe = () => {
      this.unsubscribeZoomed = this.space.series.subscribe(query, (series, error) => {
        if (!error) this.zoomed = series;
        this.canvas.setAttribute("aria-busy", "false");
        this.draw();
      });
    };
    this.canvas.setAttribute("aria-busy", "true");
    const timer = window.setTimeout(subscribe, delay);
    this.unsubscribeZoomed = () => clearTimeout(timer);
  }

  /** Return the lines in the colours of the light theme. @returns {import("../types.js").Line[]} */
  lines() {
    const { view, zoom } = this.view;
    const series = zoom && this.zoomed ? withEdges(this.whole, this.zoomed, view.smooth.kind === "ema" ? view.smooth.amount : 0) : this.whole;
    return this.build(series, view.smooth);
  }

  /** @param {Map<string, Points[]>} series by part @param {import("../types.js").Smooth} smooth */
  build(series, smooth) {
    return buildLines(this.drawn(), series, smooth);
  }

  /** Return how the chart is drawn. @returns {import("../charts/line_chart.js").ChartView} */
  chartView() {
    const { view, zoom, log } = this.view;
    return { axis: this.axis, logx: view.logx, logy: log, outliers: view.outliers, zoom, unit: this.unit, base: view.base, range: null, right: null };
  }

  draw() {
    const { zoom, log } = this.view;
    this.drawnKey = this.drawingKey();
    const drawn = this.drawn();
    const all = this.lines().map((line) => ({ ...line, color: shownColor(line.color) }));
    const lines = this.soloLines(all);
    const waiting = !this.whole.size && drawn.length > 0;
    this.element.classList.toggle("waiting", waiting);
    this.element.setAttribute("aria-busy", String(waiting));
    this.skeleton.hidden = !waiting;
    this.reset.hidden = !zoom || !this.large;
    this.scale.setAttribute("aria-pressed", String(log));
    if (lines.length) this.chart.draw(lines, this.chartView());
    else this.chart.clear();
    this.describe(all, lines);
    this.canvas.dataset.axis = this.axis;
    this.canvas.dataset.lines = String(lines.length);
    this.canvas.dataset.points = String(lines.reduce((sum, line) => sum + line.x.length, 0));
    this.canvas.dataset.sampled = String(lines.some((line) => line.sampled));
    if (!this.status.classList.contains("failed")) this.explain(lines, waiting);
  }

  /**
   * Return the lines of the only owner that is shown. It may be a rank, which not every panel has.
   * @param {import("../types.js").Line[]} lines
   */
  soloLines(lines) {
    const { solo } = this.space.store.view;
    const isKnown = lines.some(({ owner }) => owner === solo) || this.space.drawnRuns.all().some(({ id }) => id === solo);
    return solo && isKnown ? lines.filter(({ owner }) => owner === solo) : lines;
  }

  /** Explain why the panel shows nothing. @param {import("../types.js").Line[]} lines @param {boolean} waiting */
  explain(lines, waiting) {
    const { x, zoom, view } = this.view;
    if (waiting) this.hideStatus();
    else if (!lines.length && this.missing().length) this.showNotice(`No shown run has ${x}.`, "Use the automatic x axis", () => this.space.store.set({ x: "", zoom: null }, { step: true }));
    else if (!lines.length) this.showStatus(view.solo ? "The only shown run has not logged this metric." : "The shown runs have not logged this metric.");
    else if (zoom && !haveValues(lines, zoom)) this.showNotice("No values in this range", "Show the whole range", () => this.zoomTo(null));
    else this.hideStatus();
  }

  /** Return the names of the shown runs that have no values over the chosen x axis. */
  missing() {
    const { x } = this.view;
    return runsWithoutAxis(this.space.shownRuns(), this.whole, x, (path) => this.space.series.lacksAxis(path, x));
  }

  /** @param {import("../types.js").Line[]} all @param {import("../types.js").Line[]} lines */
  describe(all, lines) {
    const { note, list } = formatMissing(this.missing(), this.view.x);
    const removed = formatRemoved(lines);
    this.canvas.dataset.rawFrom = String(removed.rawFrom);
    const text = [note, list, removed.text].join("\n");
    if (text !== this.missingText) {
      const mark = removed.text ? h("span", { class: "removed-rows", title: removed.title }, removed.text) : null;
      fill(this.note, note ? h("details", {}, h("summary", {}, note), h("div", { class: "missing-runs" }, list)) : null, mark);
    }
    this.missingText = text;
    const { view } = this.view;
    const listed = !this.space.ofRun && !this.large && !view.legend;
    buildLegend(this.legend, listed ? [] : all, view.solo, (owner) => this.space.store.set({ solo: owner === view.solo ? "" : owner }, { step: true }));
    const last = lines.slice(0, 3).map((line) => `${line.name} ends at ${readable(line.last[line.last.length - 1], this.unit)}`);
    const sampled = lines.some((line) => line.sampled && line.low && line.band === "min–max");
    const sampling = sampled ? `, sampled; the band spans the minimum to the maximum` : lines.some((line) => line.band === "ranks") ? "; the band spans the extremes of all ranks" : "";
    this.canvas.setAttribute("aria-label", `${this.spec.key}: ${count(lines.length)} lines${sampling}. ${last.join(", ")}. Arrow keys move along the points.`);
  }
}
