/** A panel with a chart of several metrics: those of one definition in the address. */

import { metricUnit } from "../charts/axes.js";
import { buildLines } from "../charts/lines.js";
import { groupSeriesId } from "../series/request_planner.js";
import { fill, h, svg } from "../ui/dom.js";
import { paletteColor } from "../ui/palette.js";
import { shownColor } from "../ui/theme.js";
import { runsWithoutAxis } from "./missing_axis.js";
import { LinePanel } from "./line_panel.js";

/** @typedef {import("../types.js").Line} Line */
/** @typedef {import("../types.js").Points} Points */
/** @typedef {import("../types.js").ChartDefinition} ChartDefinition */
/** @typedef {import("./sections.js").PlottedMetric} PlottedMetric */
/** @typedef {import("../series/request_planner.js").Part} Part */

/** Dashes that tell metrics apart where colours tell runs apart: in pixels, the first is a full line. */
const DASHES = [[], [6, 3], [2, 2], [9, 3, 2, 3], [12, 4], [4, 2, 1, 2]];

export class MultiPanel extends LinePanel {
  /** The definition of the chart. */
  get definition() {
    return /** @type {ChartDefinition} */ (this.spec.chart);
  }

  get view() {
    const given = super.view;
    const { x, log, rangeX } = this.definition;
    // Metrics with different axes of their own have the step in common.
    const axis = x || given.view.x || (this.spec.metrics.every(({ timed }) => timed) ? "_runtime" : "_step");
    return { ...given, x: axis, zoom: given.zoom ?? (this.axis === axis ? rangeX : null), log };
  }

  toggleLog() {
    const { store } = this.space;
    const number = Number(this.spec.id.slice(this.spec.id.indexOf(":") + 1));
    store.set({ charts: store.view.charts.map((chart, at) => (at === number ? { ...chart, log: !chart.log } : chart)) }, { step: true });
  }

  /** @returns {Part[]} */
  parts() {
    const bySteps = this.view.x === "_step";
    return this.spec.metrics.flatMap(({ key, folded }) =>
      this.space.drawnRuns.all().flatMap(({ id, runs, group }) => {
        const metric = { key, folded };
        if (group && bySteps) return [{ id: partId(groupSeriesId(id), folded), group: id, runs: [...runs].sort(), metric }];
        return runs.map((run) => ({ id: partId(run, folded), runs: [run], metric }));
      }),
    );
  }

  /** @param {Map<string, Points[]>} series @param {import("../types.js").Smooth} smooth */
  build(series, smooth) {
    const drawn = this.space.drawnRuns.all();
    const { metrics } = this.spec;
    return metrics.flatMap((metric, number) => {
      const own = new Map([...series].flatMap(([id, points]) => (id.endsWith(`\n${metric.folded}`) ? [[id.slice(0, -metric.folded.length - 1), points]] : [])));
      const alone = drawn.length === 1;
      const styled = drawn.map((one) => (alone ? { ...one, color: paletteColor(number) } : one));
      return buildLines(styled, own, smooth).map((line) => this.nameLine(line, metric, alone ? "" : line.name, alone ? [] : DASHES[number % DASHES.length]));
    });
  }

  /** @param {Line} line @param {PlottedMetric} metric @param {string} run its name; "": the only one @param {number[]} dash @returns {Line} */
  nameLine(line, { key, folded, timed }, run, dash) {
    const right = this.definition.right.includes(key);
    const name = `${key}${right ? " (right)" : ""}`;
    return { ...line, id: `${line.id}\n${folded}`, name: run ? `${run} · ${name}` : name, metric: folded, right, unit: metricUnit(key, timed), dashes: dash.length ? dash : undefined };
  }

  chartView() {
    const { right, logRight, rangeY, rangeRight } = this.definition;
    const atRight = this.spec.metrics.filter(({ key }) => right.includes(key));
    const atLeft = this.spec.metrics.filter(({ key }) => !right.includes(key));
    const unit = (/** @type {PlottedMetric[]} */ [first]) => (first ? metricUnit(first.key, first.timed) : "");
    return { ...super.chartView(), unit: unit(atLeft), range: rangeY, right: atRight.length ? { unit: unit(atRight), log: logRight, range: rangeRight } : null };
  }

  /** Describe the chart; its legend says what colours and dashes mean, and is always shown. @param {Line[]} all @param {Line[]} lines */
  describe(all, lines) {
    super.describe(all, lines);
    const { metrics } = this.spec;
    const isAlone = this.space.drawnRuns.all().length === 1;
    this.legend.hidden = false;
    fill(
      this.legend,
      metrics.map(({ key }, number) => {
        const dash = isAlone ? [] : DASHES[number % DASHES.length];
        const stroke = isAlone ? shownColor(paletteColor(number)) : "currentColor";
        const swatch = svg("svg", { viewBox: "0 0 24 6", class: "dash", "aria-hidden": "true" }, svg("path", { d: "M0 3h24", stroke, "stroke-width": 2, "stroke-dasharray": dash.join(" ") || "none" }));
        return h("li", { class: "legend-entry", title: key }, swatch, h("span", { class: "legend-name" }, this.definition.right.includes(key) ? `${key} (right)` : key));
      }),
    );
  }

  missing() {
    const { x } = this.view;
    /** @type {Map<string, Points[]>} */
    const byRun = new Map();
    for (const [id, points] of this.whole) {
      const run = id.slice(0, id.indexOf("\n"));
      byRun.set(run, [...(byRun.get(run) ?? []), ...points]);
    }
    return runsWithoutAxis(this.space.shownRuns(), byRun, x, (path) => this.space.series.lacksAxis(path, x));
  }
}

/** @param {string} id of a run or a group @param {string} folded */
function partId(id, folded) {
  return `${id}\n${folded}`;
}
