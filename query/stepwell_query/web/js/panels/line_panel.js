/** A panel of curves: all shown runs of one metric. */

import { Chart } from "../charts/line_chart.js";
import { h, iconButton } from "../ui/dom.js";
import { count, short } from "../ui/format.js";
import { buildLines, smoothingParts, stepsWithin } from "../charts/lines.js";
import { Panel } from "./panel.js";
import { groupSeriesId } from "../series/request_planner.js";
import { ema } from "../series/smoothing.js";
import { onTheme } from "../ui/theme.js";

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
    this.place = h("div", { class: "chart", tabindex: "0", role: "img", "aria-label": this.spec.key });
    this.legend = h("ul", { class: "legend", "aria-label": "Runs" });
    this.body.append(this.place, this.legend);
    this.chart = new Chart(this.place, (zoom) => this.zoomTo(zoom));
    this.reset = iconButton("reset", "Show the whole range", () => this.zoomTo(null), { hidden: true });
    this.scale = h("button", { type: "button", class: "text-button", title: "Linear or logarithmic y axis", onclick: () => this.toggleLog() }, "log");
    this.buttons.prepend(this.reset, this.scale);
    /** @type {(() => void) | null} */
    this.cancelWhole = null;
    /** @type {(() => void) | null} */
    this.cancelPart = null;
    /** @type {Map<string, Points[]>} the whole range of each run */
    this.whole = new Map();
    /** @type {Map<string, Points[]> | null} the zoomed range */
    this.part = null;
    this.asked = "";
    this.askedPart = "";
    this.askedRange = "";
    this.picture = "";
    this.offTheme = onTheme(() => this.chart.redraw());
    this.update();
  }

  destroy() {
    super.destroy();
    this.cancelWhole?.();
    this.cancelPart?.();
    this.offTheme();
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
    const wanted = this.wanted(parts);
    const asked = JSON.stringify(wanted);
    if (asked !== this.asked) {
      this.asked = asked;
      this.askedPart = "";
      this.part = null;
      this.cancelWhole?.();
      this.cancelWhole = parts.length
        ? this.space.source.want(wanted, (found, error) => {
            this.whole = found;
            this.heard(error);
          })
        : null;
      if (!parts.length) this.whole = new Map();
    }
    this.askPart();
    // News of runs come once a second; most change nothing of what is drawn.
    if (this.drawingKey() !== this.picture) this.draw();
  }

  /** @returns {Part[]} */
  parts() {
    const { x } = this.view;
    const bySteps = x === "_step" || (x === "" && !this.space.overOthers(this.spec.key));
    return this.space.drawn().flatMap(({ id, runs, group }) =>
      group && bySteps ? [{ of: groupSeriesId(id), group: id, runs: [...runs].sort() }] : runs.map((run) => ({ of: run, runs: [run] })),
    );
  }

  /** @param {Part[]} parts @param {number} [smoothing] */
  wanted(parts, smoothing) {
    return { key: this.spec.key, x: this.view.x, points: this.large ? POINTS_LARGE : POINTS, parts, smoothing };
  }

  /** All that a drawing depends on besides the points. */
  drawingKey() {
    const { view, x, zoom, log } = this.view;
    return JSON.stringify([this.space.drawn(), x, zoom, log, view.smooth, view.logx, view.outliers]);
  }

  /** @param {import("../api/service.js").ApiError | null} error */
  heard(error) {
    if (error && !this.whole.size) {
      this.say(error.message, () => this.space.source.retry());
      return;
    }
    this.quiet();
    this.askPart();
    this.draw();
  }

  /** Ask for what a zoom shows, down to the rows themselves. */
  askPart() {
    const { zoom, view } = this.view;
    if (!zoom) {
      this.cancelPart?.();
      this.cancelPart = null;
      this.part = null;
      this.askedPart = "";
      this.place.setAttribute("aria-busy", "false");
      return;
    }
    const parts = this.parts().flatMap((part) => zoomedPart(part, this.whole.get(part.of) ?? [], zoom));
    // What lies before a zoom bears on its average, and its points are of fewer rows than those of the whole.
    const wanted = this.wanted(parts, view.smooth.kind === "ema" ? view.smooth.amount : undefined);
    const asked = JSON.stringify(wanted);
    if (!parts.length || asked === this.askedPart) return;
    const range = JSON.stringify(parts);
    // A slider of smoothing asks when it rests, a zoom at once.
    const wait = this.part && range === this.askedRange ? SLIDER_MS : 0;
    this.askedPart = asked;
    this.askedRange = range;
    this.cancelPart?.();
    const ask = () => {
      this.cancelPart = this.space.source.want(wanted, (found, error) => {
        if (!error) this.part = found;
        this.place.setAttribute("aria-busy", "false");
        this.draw();
      });
    };
    this.place.setAttribute("aria-busy", "true");
    const timer = window.setTimeout(ask, wait);
    this.cancelPart = () => clearTimeout(timer);
  }

  draw() {
    const { view, zoom, log } = this.view;
    this.picture = this.drawingKey();
    const found = zoom && this.part ? withEdges(this.whole, this.part, view.smooth.kind === "ema" ? view.smooth.amount : 0) : this.whole;
    const drawn = this.space.drawn();
    const lines = buildLines(drawn, found, view.smooth);
    this.reset.hidden = !zoom;
    this.scale.setAttribute("aria-pressed", String(log));
    const axis = [...found.values()].flat().find((points) => points.x.length)?.axis ?? "_step";
    this.chart.draw(lines, { axis, logx: view.logx, logy: log, outliers: view.outliers, zoom });
    this.describe(lines, axis);
    this.place.dataset.lines = String(lines.length);
    this.place.dataset.points = String(lines.reduce((sum, line) => sum + line.x.length, 0));
    this.place.dataset.sampled = String(lines.some((line) => line.sampled));
    const waiting = !this.whole.size && drawn.length > 0;
    this.element.classList.toggle("waiting", waiting);
    if (!lines.length && !waiting) this.say("The runs shown have not logged this.");
    else if (!this.status.classList.contains("failed")) this.quiet();
  }

  /** @param {import("../types.js").Line[]} lines @param {string} axis */
  describe(lines, axis) {
    const sampled = lines.find((line) => line.sampled && line.band === "min–max");
    this.note.textContent = axis === "_step" ? "" : `over ${axis.replace(/^_/, "")}`;
    const items = lines.slice(0, LEGEND_MAX).map((line) => {
      const swatch = h("span", { class: line.dash ? "swatch dashed" : "swatch" });
      swatch.style.background = line.color;
      return h("li", { title: line.name }, swatch, h("span", {}, line.name));
    });
    if (lines.length > LEGEND_MAX) items.push(h("li", { class: "more" }, `+${lines.length - LEGEND_MAX}`));
    this.legend.replaceChildren(...items);
    const last = lines.slice(0, 3).map((line) => `${line.name} ends at ${short(line.last[line.last.length - 1])}`);
    const how = sampled ? `, sampled; the band is from the least to the greatest value` : "";
    this.place.setAttribute("aria-label", `${this.spec.key}: ${count(lines.length)} lines${how}. ${last.join(", ")}. Arrow keys walk along the points.`);
  }
}

/** @param {Part} part @param {Points[]} points its whole range @param {[number, number]} zoom @returns {Part[]} */
function zoomedPart(part, points, zoom) {
  if (!points.some((one) => one.sampled)) return [];
  if (points.every((one) => one.axis === "_step")) {
    return [{ ...part, from: Math.max(0, Math.floor(zoom[0])), to: Math.max(0, Math.ceil(zoom[1])) }];
  }
  const steps = stepsWithin(points, zoom);
  return steps ? [{ ...part, from: steps[0], to: steps[1] }] : [];
}

/**
 * Return the zoomed points, with one of the whole range on each side, so that a line goes on to the chart's edge.
 * @param {Map<string, Points[]>} whole
 * @param {Map<string, Points[]>} part
 * @param {number} smoothing weight of the moving average
 */
function withEdges(whole, part, smoothing) {
  return new Map(
    [...whole].map(([of, points]) => {
      const close = part.get(of);
      return [of, close ? points.map((one) => edged(one, close.find((other) => other.kind === one.kind && other.key === one.key), smoothing)) : points];
    }),
  );
}

/** @param {Points} whole @param {Points | undefined} part @param {number} smoothing @returns {Points} */
function edged(whole, part, smoothing) {
  if (!part || !part.step.length || !whole.sampled) return part?.step.length ? part : whole;
  const first = part.step[0] - (part.sampled ? part.width : 1);
  const last = part.step[part.step.length - 1];
  let before = -1;
  while (before + 1 < whole.step.length && whole.step[before + 1] <= first) before += 1;
  const after = whole.step.findIndex((step, at) => step > last && step - whole.width >= last && at > before);
  /** @param {"x" | "step" | "value" | "min" | "max" | "mean" | "counts" | "nans"} name */
  const joined = (name) => around(whole[name], part[name]);
  /** @param {number[]} wide @param {number[]} close */
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
    ...(part.smoothed ? { smoothed: around(ema(whole.mean, smoothing, smoothingParts(whole)), part.smoothed) } : {}),
  };
}
