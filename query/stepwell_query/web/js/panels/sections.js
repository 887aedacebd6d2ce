/** Which panels there are, and in which sections. Pure. */

import { textMatcher } from "../ui/text_match.js";

/** @typedef {import("../types.js").Metric} Metric */

/**
 * @typedef {object} PanelSpec
 * @property {string} id
 * @property {string} key
 * @property {string} kind "line" for what is drawn as a curve, else the kind of the values
 * @property {string} label the key without its section
 * @property {boolean} timed whether its steps are samples in time, so that time is its x axis
 */

/**
 * @typedef {object} Section
 * @property {string} name
 * @property {PanelSpec[]} panels
 * @property {boolean} quiet whether it is folded unless someone opens it
 */

const CHARTS = "Charts";
const SYSTEM = "system";
const LINES = new Set(["number", "bool"]);
const HIDDEN_STREAMS = new Set(["console"]);

/**
 * Return the name of a key's section: what stands before its first `/`, or before its last one.
 * @param {string} key
 * @param {"first" | "all"} by
 */
export function parseSectionName(key, by) {
  const cut = by === "first" ? key.indexOf("/") : key.lastIndexOf("/");
  return cut > 0 ? key.slice(0, cut) : CHARTS;
}

/**
 * Return the sections with their panels, by name; the system's metrics come last and are folded.
 * @param {Metric[]} metrics sorted by key
 * @param {"first" | "all"} by
 * @param {string} search
 * @returns {Section[]}
 */
export function buildSections(metrics, by, search) {
  const wanted = textMatcher(search);
  /** @type {Map<string, Section>} */
  const sections = new Map();
  const seen = new Set();
  for (const metric of metrics) {
    if (HIDDEN_STREAMS.has(metric.stream) || !wanted(metric.key)) continue;
    const kind = LINES.has(metric.kind) ? "line" : metric.kind;
    const id = `${kind}:${metric.key}`;
    // Runs may spell a key in other cases: it is one metric, and a panel shows all of them.
    if (seen.has(id.toLowerCase())) continue;
    seen.add(id.toLowerCase());
    const name = parseSectionName(metric.key, by);
    const quiet = metric.stream === SYSTEM;
    const place = `${quiet}/${name}`;
    let section = sections.get(place);
    if (!section) {
      section = { name, panels: [], quiet };
      sections.set(place, section);
    }
    const label = name === CHARTS && !metric.key.startsWith(`${CHARTS}/`) ? metric.key : metric.key.slice(name.length + 1);
    section.panels.push({ id, key: metric.key, kind, label: label || metric.key, timed: quiet });
  }
  const natural = new Intl.Collator("en", { numeric: true });
  for (const section of sections.values()) section.panels.sort((a, b) => natural.compare(a.key, b.key));
  return [...sections.values()].sort(
    (a, b) => Number(a.quiet) - Number(b.quiet) || rank(a.name) - rank(b.name) || natural.compare(a.name, b.name),
  );
}

/**
 * Metrics of no section come first: most scripts name their loss so.
 * @param {string} name
 */
function rank(name) {
  return name === CHARTS ? 0 : 1;
}

/**
 * Say whether a section is folded: as it is by default, unless a person turned it.
 * @param {Section} section
 * @param {string[]} turned
 */
export function isFolded(section, turned) {
  return turned.includes(section.name) !== section.quiet;
}
