/** The charts of several metrics, as panels. */

import { metricUnit } from "../charts/axes.js";
import { textMatcher } from "../ui/text_match.js";

/** @typedef {import("../types.js").ChartDefinition} ChartDefinition */
/** @typedef {import("../types.js").Metric} Metric */
/** @typedef {import("./sections.js").Section} Section */

export const OWN_CHARTS = "Own charts";

/** @param {ChartDefinition} chart */
export function chartTitle({ title, keys }) {
  return title || keys.join(", ");
}

/**
 * Build the section of the charts that someone has put together; none without charts.
 * @param {ChartDefinition[]} charts
 * @param {Metric[]} metrics of the shown runs
 * @param {string} search
 * @returns {Section[]}
 */
export function ownSection(charts, metrics, search) {
  if (!metrics.length) return [];
  const matches = textMatcher(search);
  const byKey = new Map(metrics.filter(isPlottable).flatMap((metric) => [[metric.folded, metric], [metric.key, metric]]));
  const panels = charts.flatMap((chart, number) => {
    if (![chartTitle(chart), ...chart.keys].some(matches)) return [];
    const plotted = chart.keys.flatMap((key) => {
      // Another run may spell the key differently.
      const metric = byKey.get(key) ?? byKey.get(key.toLowerCase());
      return metric ? [{ key, folded: metric.folded, timed: metric.stream === "system" }] : [];
    });
    const label = chartTitle(chart);
    return [{ id: `chart:${number}`, key: label, folded: "", kind: "multi", label, timed: false, writers: 0, members: [], chart, metrics: plotted }];
  });
  return panels.length ? [{ name: OWN_CHARTS, panels, quiet: false, own: true }] : [];
}

/** @param {Metric} metric */
export function isPlottable({ kind, stream }) {
  return kind === "number" && stream !== "console";
}

/**
 * Return the keys of a chart that need the right axis: those with another unit than the first one.
 * @param {{key: string, timed: boolean}[]} metrics
 */
export function keysAtRight(metrics) {
  const units = metrics.map(({ key, timed }) => metricUnit(key, timed));
  return metrics.filter((_, at) => units[at] !== units[0]).map(({ key }) => key);
}
