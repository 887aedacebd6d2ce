/** Ranks in the keys of system metrics and console lines: `system/rank1/cpu`; those of the first rank have no name. */

import { natural } from "../ui/text_match.js";

/** @typedef {import("../types.js").Metric} Metric */

const STREAMS = new Set(["system", "console"]);
const FIRST_RANK = "rank0";

/**
 * Split a stream's key into the rank that it names, "" for none, and the key without it.
 * @param {string} key
 * @returns {{rank: string, plain: string}}
 */
export function parseStreamKey(key) {
  const first = key.indexOf("/");
  const last = key.lastIndexOf("/");
  if (first === last) return { rank: "", plain: key };
  return { rank: key.slice(first + 1, last), plain: key.slice(0, first) + key.slice(last) };
}

/**
 * Return the name of a rank as the page shows it: a stream's keys without a name are those of the first rank.
 * @param {string} rank
 * @param {boolean} isJob whether the run has ranks, and not only named writers of another kind
 */
export function labelRank(rank, isJob) {
  return rank || (isJob ? FIRST_RANK : "main process");
}

/**
 * Return the ranks that have system metrics or console lines, each once, in their order; none for a run with a single
 * process.
 * @param {Metric[]} metrics of one run
 * @param {string} [stream] only ranks of this stream
 * @returns {string[]} labels
 */
export function streamRanks(metrics, stream) {
  const found = metrics.filter((metric) => STREAMS.has(metric.stream) && (!stream || metric.stream === stream)).map(({ key }) => parseStreamKey(key).rank);
  const named = new Set(found.filter(Boolean));
  if (!named.size) return [];
  const isJob = hasRanks(metrics);
  return [...new Set(found.map((rank) => labelRank(rank, isJob)))].sort(natural.compare);
}

/**
 * Return whether the names in streams' keys are those of ranks.
 * @param {Metric[]} metrics of one run
 */
export function hasRanks(metrics) {
  return metrics.some((metric) => STREAMS.has(metric.stream) && /^rank\d/.test(parseStreamKey(metric.key).rank));
}

/**
 * Return the largest number of named writers that logged one metric: more than one in a run of several ranks.
 * @param {Metric[]} metrics of one run
 */
export function mostWriters(metrics) {
  return metrics.reduce((most, { writers }) => Math.max(most, writers), 0);
}
