/** Compares the ranks of a run by one metric: which is slowest, and which differs most from the mean of all. */

/** @typedef {import("../api/writer_series.js").WriterSeries} WriterSeries */

/**
 * @typedef {object} RankStats
 * @property {string} name
 * @property {number} step the last one
 * @property {number} time of the last row, in seconds since the epoch
 * @property {number} last value
 * @property {number} mean of the finite values
 * @property {number} min
 * @property {number} max
 * @property {number} nans
 * @property {number} rows
 * @property {number} deviation from the mean of all ranks: root mean square over the buckets of steps; NaN without any
 */

/** @typedef {{ranks: RankStats[], slowest: RankStats | null, different: RankStats | null}} Comparison */

/**
 * Compare ranks; return them with the greatest deviation first. NaN counts as a deviation if not all ranks have as much.
 * @param {WriterSeries[]} series one for each rank
 * @returns {Comparison}
 */
export function compareRanks(series) {
  const logged = series.filter(({ step }) => step.length);
  const means = meansByBucket(logged);
  const width = commonWidth(logged);
  const ranks = logged.map((one) => describe(one, deviationFrom(one, means, width)));
  const nans = ranks.map((rank) => rank.nans);
  const sameNans = nans.every((number) => number === nans[0]);
  const deviation = (/** @type {RankStats} */ rank) => (Number.isNaN(rank.deviation) ? -1 : rank.deviation);
  ranks.sort((a, b) => (sameNans ? 0 : b.nans - a.nans) || deviation(b) - deviation(a));
  const first = ranks[0];
  const different = ranks.length > 1 && (!sameNans || first.deviation > 0) ? first : null;
  return { ranks, slowest: ranks.length > 1 ? findSlowest(ranks) : null, different };
}

/**
 * Return the rank with the lowest last step; of several, the one that reached it last. None if all reached it together.
 * @param {RankStats[]} ranks
 */
function findSlowest(ranks) {
  const slowest = ranks.reduce((low, rank) => (rank.step < low.step || (rank.step === low.step && rank.time > low.time) ? rank : low));
  return ranks.every((rank) => rank.step === slowest.step && rank.time === slowest.time) ? null : slowest;
}

/** @param {WriterSeries} series @param {number} deviation @returns {RankStats} */
function describe(series, deviation) {
  const { writer, last, x, value, mean, min, max, counts, nans, total } = series;
  let sum = 0;
  let finite = 0;
  mean.forEach((part, at) => {
    const rows = counts[at] - nans[at];
    if (!Number.isFinite(part) || rows <= 0) return;
    sum += part * rows;
    finite += rows;
  });
  const present = (/** @type {number[]} */ values) => values.filter((number) => !Number.isNaN(number));
  return {
    name: writer || "(unnamed)",
    step: last,
    time: x[x.length - 1],
    last: value[value.length - 1],
    mean: finite ? sum / finite : NaN,
    min: present(min).reduce((low, number) => Math.min(low, number), Infinity),
    max: present(max).reduce((high, number) => Math.max(high, number), -Infinity),
    nans: nans.reduce((all, number) => all + number, 0),
    rows: total,
    deviation,
  };
}

/** Return the widest buckets: all widths are powers of two, so that narrower ones lie within. @param {WriterSeries[]} series */
function commonWidth(series) {
  return series.reduce((widest, { width }) => Math.max(widest, width), 1);
}

/**
 * Return the mean over ranks of each bucket of steps. Ranks are compared where both have values, so that one that lags does
 * not differ for that reason.
 * @param {WriterSeries[]} series
 * @returns {Map<number, number>}
 */
function meansByBucket(series) {
  const width = commonWidth(series);
  /** @type {Map<number, {sum: number, ranks: number}>} */
  const buckets = new Map();
  for (const one of series) {
    for (const [bucket, mean] of rankMeans(one, width)) {
      const all = buckets.get(bucket) ?? { sum: 0, ranks: 0 };
      buckets.set(bucket, { sum: all.sum + mean, ranks: all.ranks + 1 });
    }
  }
  return new Map([...buckets].map(([bucket, { sum, ranks }]) => [bucket, sum / ranks]));
}

/** @param {WriterSeries} series @param {number} width @returns {Map<number, number>} the rank's mean of each bucket */
function rankMeans({ step, mean, counts, nans }, width) {
  /** @type {Map<number, {sum: number, rows: number}>} */
  const parts = new Map();
  step.forEach((at, index) => {
    const rows = counts[index] - nans[index];
    if (!Number.isFinite(mean[index]) || rows <= 0) return;
    const bucket = Math.floor(at / width);
    const part = parts.get(bucket) ?? { sum: 0, rows: 0 };
    parts.set(bucket, { sum: part.sum + mean[index] * rows, rows: part.rows + rows });
  });
  return new Map([...parts].map(([bucket, { sum, rows }]) => [bucket, sum / rows]));
}

/** @param {WriterSeries} series @param {Map<number, number>} means @param {number} width */
function deviationFrom(series, means, width) {
  const squares = [...rankMeans(series, width)].map(([bucket, mean]) => (mean - /** @type {number} */ (means.get(bucket))) ** 2);
  return squares.length ? Math.sqrt(squares.reduce((sum, square) => sum + square, 0) / squares.length) : NaN;
}
