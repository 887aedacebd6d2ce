/** The nodes of a run's ranks, by the text `system/host` of each, and the choice of a rank or of all ranks of a node. */

import { history } from "../api/service.js";
import { natural } from "../ui/text_match.js";
import { hasRanks, labelRank, parseStreamKey } from "./ranks.js";

/** @typedef {import("../types.js").Metric} Metric */
/** @typedef {Map<string, string>} Nodes the node of each rank, by its label */

const SYSTEM = "system";
const HOST = "system/host";
/** Prefix of the choice of a node; any other choice is the label of a rank. */
const NODE = "node:";
/** Rows that are read: ranks write their node with their first sample, so that most jobs have all at one step. */
const STEPS_MAX = 16;

/**
 * Read the node of each rank: that of its last session.
 * @param {import("../types.js").Run} run
 * @param {Metric[]} metrics of the run
 * @returns {Promise<Nodes>} empty for a run with a single process
 */
export async function readNodes(run, metrics) {
  const hosts = metrics.filter(({ stream, kind, key }) => stream === SYSTEM && kind === "string" && parseStreamKey(key).plain === HOST);
  if (hosts.length < 2) return new Map();
  const isJob = hasRanks(metrics);
  const steps = [...new Set(hosts.map(({ last }) => last))].sort((a, b) => a - b).slice(0, STEPS_MAX);
  const answers = await Promise.all(steps.map((step) => history(run, { stream: SYSTEM, min_step: step, max_step: step })));
  return parseNodes(answers.flatMap(({ rows }) => rows), isJob);
}

/**
 * Return the nodes that rows of system metrics name.
 * @param {Record<string, unknown>[]} rows in the order of their steps
 * @param {boolean} isJob whether the run has ranks
 * @returns {Nodes}
 */
export function parseNodes(rows, isJob) {
  /** @type {Nodes} */
  const nodes = new Map();
  for (const [key, text] of rows.flatMap((row) => Object.entries(row))) {
    const { rank, plain } = parseStreamKey(key);
    if (plain === HOST) nodes.set(labelRank(rank, isJob), String(text));
  }
  return nodes;
}

/**
 * Return the choices of nodes, in their order; none if all ranks are on one.
 * @param {Nodes} nodes
 * @returns {{value: string, name: string}[]}
 */
export function nodeChoices(nodes) {
  /** @type {Map<string, number>} */
  const ranks = new Map();
  for (const node of nodes.values()) ranks.set(node, (ranks.get(node) ?? 0) + 1);
  if (ranks.size < 2) return [];
  const sorted = [...ranks].sort(([a], [b]) => natural.compare(a, b));
  return sorted.map(([node, count]) => ({ value: NODE + node, name: `node ${node} (${count} ${count === 1 ? "rank" : "ranks"})` }));
}

/**
 * Return whether a choice includes a rank.
 * @param {string} choice label of a rank, or value of `nodeChoices`; "": all ranks
 * @param {string} label of the rank
 * @param {Nodes} nodes
 */
export function includesRank(choice, label, nodes) {
  if (!choice || choice === label) return true;
  return choice.startsWith(NODE) && nodes.get(label) === choice.slice(NODE.length);
}
