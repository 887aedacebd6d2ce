/** The panels of metrics, and the sections that they belong to. */

import { importance } from "../series/importance.js";
import { includesRank } from "../series/nodes.js";
import { labelRank, hasRanks, parseStreamKey } from "../series/ranks.js";
import { natural, textMatcher } from "../ui/text_match.js";

/** @typedef {import("../types.js").Metric} Metric */

/**
 * @typedef {object} PanelSpec
 * @property {string} id
 * @property {string} key
 * @property {string} folded the folded key
 * @property {string} kind "line" for values that are drawn as a curve, otherwise the kind of the values
 * @property {string} label the key without its section
 * @property {boolean} timed whether its steps are samples in time, which makes time its x axis
 * @property {number} writers number of named writers that logged it
 * @property {Member[]} members the metric of each rank, if the keys name ranks
 * @property {import("../types.js").ChartDefinition} [chart] of several metrics
 * @property {PlottedMetric[]} metrics those of `chart` that the shown runs have
 */

/** @typedef {{key: string, folded: string, timed: boolean}} PlottedMetric A metric of a chart of several. */

/** @typedef {{rank: string, key: string, folded: string}} Member The system metric of one rank. */

/**
 * @typedef {object} Section
 * @property {string} name
 * @property {PanelSpec[]} panels
 * @property {boolean} quiet whether it is folded by default
 * @property {boolean} [own] whether its charts were put together on the page
 */

const CHARTS = "Charts";
const SYSTEM = "system";
const LINES = new Set(["number", "bool"]);
const HIDDEN_STREAMS = new Set(["console"]);

/**
 * Return the name of a key's section: the part before its first `/`, or before its last one.
 * @param {string} key
 * @param {"first" | "all"} by
 */
export function parseSectionName(key, by) {
  const cut = by === "first" ? key.indexOf("/") : key.lastIndexOf("/");
  return cut > 0 ? key.slice(0, cut) : CHARTS;
}

/**
 * Combine the system metrics of all ranks of a run: one metric without a rank in its key, with its members.
 * @param {Metric[]} metrics of one run, sorted by key
 * @param {string} rank only this rank, or those of a node; "": all
 * @param {import("../series/nodes.js").Nodes} nodes
 * @returns {(Metric & {members?: Member[]})[]} sorted by key, as far as a search for panels needs
 */
export function combineRanks(metrics, rank, nodes) {
  const isJob = hasRanks(metrics);
  /** @type {Map<string, Metric & {members: Member[]}>} */
  const combined = new Map();
  const single = metrics.filter((metric) => {
    const numbers = LINES.has(metric.kind);
    if (metric.stream !== SYSTEM || !numbers) return metric.stream !== SYSTEM || includesRank(rank, labelRank(parseStreamKey(metric.key).rank, isJob), nodes);
    const { rank: name, plain } = parseStreamKey(metric.key);
    const label = labelRank(name, isJob);
    if (!includesRank(rank, label, nodes)) return false;
    const panel = combined.get(plain) ?? { ...metric, key: plain, folded: parseStreamKey(metric.folded).plain, members: [] };
    panel.members.push({ rank: label, key: metric.key, folded: metric.folded });
    combined.set(plain, panel);
    return false;
  });
  for (const { members } of combined.values()) members.sort((a, b) => natural.compare(a.rank, b.rank));
  return [...single, ...combined.values()];
}

/**
 * Build the sections with their panels, sorted by importance and name. System metrics come last and are folded.
 * @param {(Metric & {members?: Member[]})[]} metrics sorted by key
 * @param {"first" | "all"} by
 * @param {string} search
 * @returns {Section[]}
 */
export function buildSections(metrics, by, search) {
  const matches = textMatcher(search);
  /** @type {Map<string, Section>} */
  const sections = new Map();
  const seen = new Set();
  for (const metric of metrics) {
    if (HIDDEN_STREAMS.has(metric.stream) || !matches(metric.key)) continue;
    const kind = LINES.has(metric.kind) ? "line" : metric.kind;
    const id = `${kind}:${metric.key}`;
    // Runs may spell a key differently: it is one metric, and one panel shows all of them.
    if (seen.has(`${kind}:${metric.folded}`)) continue;
    seen.add(`${kind}:${metric.folded}`);
    const name = parseSectionName(metric.key, by);
    const quiet = metric.stream === SYSTEM;
    const sectionKey = `${quiet}/${name}`;
    let section = sections.get(sectionKey);
    if (!section) {
      section = { name, panels: [], quiet };
      sections.set(sectionKey, section);
    }
    const label = name === CHARTS && !metric.key.startsWith(`${CHARTS}/`) ? metric.key : metric.key.slice(name.length + 1);
    section.panels.push({ id, key: metric.key, folded: metric.folded, kind, label: label || metric.key, timed: quiet, writers: metric.writers, members: metric.members ?? [], metrics: [] });
  }
  for (const section of sections.values()) section.panels.sort((a, b) => natural.compare(a.key, b.key));
  const ranked = [...sections.values()].map((section) => ({ section, rank: rankSection(section) }));
  ranked.sort((a, b) => a.rank - b.rank || natural.compare(a.section.name, b.section.name));
  return ranked.map(({ section }) => section);
}

const NO_LINES = 10;
const QUIET = 20;

/**
 * Rank a section: curves without a section come first, as most scripts name their loss without one; then sections with
 * losses, accuracies and validation, other curves, sections of media alone, and the system.
 * @param {Section} section
 */
function rankSection({ name, panels, quiet }) {
  if (quiet) return QUIET;
  const lines = panels.filter(({ kind }) => kind === "line");
  if (!lines.length) return NO_LINES;
  return name === CHARTS ? -1 : Math.min(...lines.map(({ key }) => Math.min(importance(key), importance(key.slice(key.lastIndexOf("/") + 1)))));
}

/**
 * Put sections into a chosen order. One that the order does not name comes after the section that precedes it by default.
 * @param {Section[]} sections in the default order
 * @param {string[]} order names
 * @returns {Section[]}
 */
export function orderSections(sections, order) {
  if (!order.length) return sections;
  const place = (/** @type {Section} */ { name }) => order.indexOf(name);
  const ordered = sections.filter((section) => place(section) >= 0).sort((a, b) => place(a) - place(b));
  for (const [at, section] of sections.entries()) if (place(section) < 0) ordered.splice(at ? ordered.indexOf(sections[at - 1]) + 1 : 0, 0, section);
  return ordered;
}

/**
 * Return the names of sections after one has been moved.
 * @param {string[]} names
 * @param {string} name
 * @param {number} to its new index among the others' old ones
 */
export function moveName(names, name, to) {
  const from = names.indexOf(name);
  const rest = names.filter((one) => one !== name);
  rest.splice(Math.max(0, Math.min(to > from ? to - 1 : to, rest.length)), 0, name);
  return rest;
}

/**
 * Return whether a section is folded: its default, unless it was toggled.
 * @param {Section} section
 * @param {string[]} toggled names
 */
export function isFolded(section, toggled) {
  return toggled.includes(section.name) !== section.quiet;
}
