/** A panel with a line chart: one metric of all shown runs. */

import { LineChart } from "../charts/line_chart.js";
import { h, iconButton } from "../ui/dom.js";
import { count, short } from "../ui/format.js";
import { buildLines, smoothingParts, stepsWithin } from "../charts/lines.js";
import { Panel } from "./panel.js";
import { groupSeriesId, pointsPerLine } from "../series/request_planner.js";
import { ema } from "../series/smoothing.js";
import { rankColor } from "../ui/palette.js";
import { shownColor, theme } from "../ui/theme.js";

/** @typedef {import("../types.js").Points} Points */
/** @typedef {import("../types.js").ViewState} ViewState */
/** @typedef {import("../series/request_planner.js").Part} Part */

const POINTS = 1000;
const POINTS_LARGE = 2000;
const LEGEND_MAX = 6;
const SLIDER_MS = 150;

export class LinePanel extends Panel {
  /** @param {ConstructorParameters<typeof Panel>} given */
  constructor(...given) {
    super(...given);
    this.canvas = h("div", { class: "chart", tabindex: "0", role: "img", "aria-label": this.spec.key });
    this.legend = h("ul", { class: "legend", "aria-label": "Runs" });
    this.body.append(this.canvas, this.legend);
    this.chart = new LineChart(this.canvas, (zoom) => this.zoomTo(zoom));
    this.reset = iconButton("reset", "Show the whole range", () => this.zoomTo(null), { hidden: true });
    this.scale = h("button", { type: "button", class: "text-button", title: "Linear or logarithmic y axis", onclick: () => this.toggleLog() }, "log");
    this.buttons.prepend(this.reset, this.scale);
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
    return { view, x, zoom: own.zoom ?? null, log: own.log ?? view.logy };
  }

  toggleLog() {
    this.space.store.setPanel(this.spec.key, { log: !this.view.log }, { step: true });
  }

  /** @param {[number, number] | null} zoom */
  zoomTo(zoom) {
    this.space.store.setPanel(this.spec.key, { zoom: zoom ?? undefined }, { step: true });
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
    const bySteps = x === "_step" || (x === "" && !this.space.overOthers(this.spec.folded));
    if (members.length) return this.drawn().map(({ id, run, metric }) => ({ id, runs: [/** @type {string} */ (run)], metric }));
    const { ranks } = this;
    // Over another axis, the page aggregates the lines of the ranks.
    /** @type {Part["ranks"]} */
    const asked = ranks && { mode: ranks === "band" && bySteps ? "band" : "lines", writers };
    return this.space.drawn().flatMap(({ id, runs, group }) =>
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
    const drawn = this.space.drawn();
    const { members } = this.spec;
    if (!members.length) return this.ranks ? drawn.map((run) => ({ ...run, ranks: this.ranks })) : drawn;
    return drawn.flatMap(({ color, runs: [run], name }) =>
      members.map(({ rank, key, folded }, at) => {
        const id = `${run} ${rank}`;
        const one = { id, run, runs: [id], metric: { key, folded }, group: false };
        if (members.length === 1) return { ...one, name: this.space.store.view.rank ? rank : name, color };
        return { ...one, name: rank, color: rankColor(at, members.length), ranks: /** @type {const} */ ("line") };
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
    return JSON.stringify([theme(), this.drawn(), x, zoom, log, view.smooth, view.logx, view.outliers]);
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

  draw() {
    const { view, zoom, log } = this.view;
    this.drawnKey = this.drawingKey();
    const series = zoom && this.zoomed ? withEdges(this.whole, this.zoomed, view.smooth.kind === "ema" ? view.smooth.amount : 0) : this.whole;
    const drawn = this.drawn();
    const lines = buildLines(drawn, series, view.smooth).map((line) => ({ ...line, color: shownColor(line.color) }));
    this.reset.hidden = !zoom;
    this.scale.setAttribute("aria-pressed", String(log));
    const axis = [...series.values()].flat().find((points) => points.x.length)?.axis ?? "_step";
    this.chart.draw(lines, { axis, logx: view.logx, logy: log, outliers: view.outliers, zoom });
    this.describe(lines, axis);
    this.canvas.dataset.lines = String(lines.length);
    this.canvas.dataset.points = String(lines.reduce((sum, line) => sum + line.x.length, 0));
    this.canvas.dataset.sampled = String(lines.some((line) => line.sampled));
    const waiting = !this.whole.size && drawn.length > 0;
    this.element.classList.toggle("waiting", waiting);
    if (!lines.length && !waiting) this.showStatus("The shown runs have not logged this metric.");
    else if (!this.status.classList.contains("failed")) this.hideStatus();
  }

  /** @param {import("../types.js").Line[]} lines @param {string} axis */
  describe(lines, axis) {
    const sampled = lines.find((line) => line.sampled && line.low && line.band === "min–max");
    this.note.textContent = axis === "_step" ? "" : `over ${axis.replace(/^_/, "")}`;
    // Of many ranks, the first and the last say what the colours mean.
    const named = lines.length > LEGEND_MAX && lines[0].rank ? [lines[0], lines[lines.length - 1]] : lines.slice(0, LEGEND_MAX);
    const items = named.map((line) => {
      const swatch = h("span", { class: line.dash ? "swatch dashed" : "swatch" });
      swatch.style.background = line.color;
      return h("li", { title: line.name }, swatch, h("span", {}, line.name));
    });
    if (lines.length > named.length) items.push(h("li", { class: "more" }, `+${lines.length - named.length}`));
    this.legend.replaceChildren(...items);
    const last = lines.slice(0, 3).map((line) => `${line.name} ends at ${short(line.last[line.last.length - 1])}`);
    const sampling = sampled ? `, sampled; the band spans the minimum to the maximum` : lines.some((line) => line.band === "ranks") ? "; the band spans the extremes of all ranks" : "";
    this.canvas.setAttribute("aria-label", `${this.spec.key}: ${count(lines.length)} lines${sampling}. ${last.join(", ")}. Arrow keys move along the points.`);
  }
}

/** @param {Part} part @param {Points[]} points of its whole range @param {[number, number]} zoom @returns {Part[]} */
function zoomedPart(part, points, zoom) {
  if (!points.some((series) => series.sampled)) return [];
  if (points.every((series) => series.axis === "_step")) {
    return [{ ...part, from: Math.max(0, Math.floor(zoom[0])), to: Math.max(0, Math.ceil(zoom[1])) }];
  }
  const steps = stepsWithin(points, zoom);
  return steps ? [{ ...part, from: steps[0], to: steps[1] }] : [];
}

/**
 * Return the zoomed points, with one point of the whole range on each side, so that lines extend to the edges of the
 * chart.
 * @param {Map<string, Points[]>} whole
 * @param {Map<string, Points[]>} zoomed
 * @param {number} smoothing weight of the moving average
 */
function withEdges(whole, zoomed, smoothing) {
  return new Map(
    [...whole].map(([id, points]) => {
      const close = zoomed.get(id);
      const same = (/** @type {Points} */ series) => close?.find(({ kind, key, writer }) => kind === series.kind && key === series.key && writer === series.writer);
      return [id, close ? points.map((series) => addEdges(series, same(series), smoothing)) : points];
    }),
  );
}

/** @param {Points} whole @param {Points | undefined} part @param {number} smoothing @returns {Points} */
function addEdges(whole, part, smoothing) {
  if (!part || !part.step.length || !whole.sampled) return part?.step.length ? part : whole;
  const first = part.step[0] - (part.sampled ? part.width : 1);
  const last = part.step[part.step.length - 1];
  let before = -1;
  while (before + 1 < whole.step.length && whole.step[before + 1] <= first) before += 1;
  const after = whole.step.findIndex((step, at) => step > last && step - whole.width >= last && at > before);
  /** @param {"x" | "step" | "value" | "min" | "max" | "mean" | "counts" | "nans"} name */
  const joined = (name) => around(whole[name], part[name]);
  /** @template T @param {T[]} wide @param {T[]} close */
  const around = (wide, close) => [...(before >= 0 ? [wide[before]] : []), ...close, ...(after >= 0 ? [wide[after]] : [])];
  return {
    ...part,
    x: joined("x"),
    step: joined("step"),
    value: joined("value"),
    min: joined("min"),
    max: joined("max"),
    mean: joined("mean"),
    counts: joined("counts"),
    nans: joined("nans"),
    ...(part.owners && whole.owners ? { owners: { low: around(whole.owners.low, part.owners.low), high: around(whole.owners.high, part.owners.high) } } : {}),
    ...(part.smoothed ? { smoothed: around(ema(whole.mean, smoothing, smoothingParts(whole)), part.smoothed) } : {}),
  };
}
