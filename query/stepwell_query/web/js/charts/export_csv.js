/** The points that a chart shows, as rows of a table. */

/** @typedef {import("./export_svg.js").Snapshot} Snapshot */

/**
 * Return a row for each point of each line within the shown range, after a row of names. `value` is the mean of `count`
 * values where the line is sampled, `low` to `high` the band that the chart draws.
 * @param {Snapshot} snapshot
 * @returns {(string | number)[][]}
 */
export function chartRows({ title, lines, view, ranges }) {
  const overSteps = view.axis === "_step";
  const [low, high] = ranges.x;
  const names = ["name", "id", "metric", ...(overSteps ? [] : [view.axis.replace(/^_/, "")]), "step", "value", "smoothed", "low", "high", "band", "count", "nan_count"];
  const rows = lines.flatMap((line) =>
    line.x.flatMap((x, at) => {
      if (x < low || x > high) return [];
      const band = line.low && line.high ? [line.low[at], line.high[at], line.band] : ["", "", ""];
      return [[line.name, line.owner, line.metric ?? title, ...(overSteps ? [] : [x]), line.step[at], line.raw ? line.raw[at] : line.y[at], line.raw ? line.y[at] : "", ...band, line.counts[at], line.nans[at]]];
    }),
  );
  return [names, ...rows];
}
