/** The metric definitions of runs (`define_metric`): which metrics are hidden, and which have an x axis of their own. */

/** @typedef {import("../types.js").Run} Run */
/** @typedef {Run["metric_definitions"][number]} Definition */

/**
 * Build a test of folded keys: a metric is hidden if all runs that define it say so.
 * @param {Run[]} runs
 * @returns {(folded: string) => boolean}
 */
export function hiddenBy(runs) {
  const lists = collectDefinitions(runs, (definition) => !!definition.hidden);
  if (!lists.length) return () => false;
  return (folded) => {
    const definitions = lists.map((list) => findDefinition(folded, list)).filter((definition) => definition !== null);
    return definitions.length > 0 && definitions.every((definition) => definition.hidden);
  };
}

/**
 * Build a test of folded keys: whether any run draws the metric over another metric instead of the step.
 * @param {Run[]} runs
 * @returns {(folded: string) => boolean}
 */
export function drawnOverOthers(runs) {
  const lists = collectDefinitions(runs, (definition) => !!definition.step_metric && definition.step_metric !== "_step");
  return (folded) => lists.some((list) => !["_step", "", null, undefined].includes(findDefinition(folded, list)?.step_metric));
}

/**
 * Return the distinct lists of definitions of runs, as far as they contain a relevant definition.
 * @param {Run[]} runs
 * @param {(definition: Definition) => boolean} isRelevant
 */
function collectDefinitions(runs, isRelevant) {
  return [...new Set(runs.map((run) => JSON.stringify(run.metric_definitions ?? [])))]
    .map((text) => /** @type {Definition[]} */ (JSON.parse(text)))
    .filter((list) => list.some(isRelevant))
    .map((list) => list.map((definition) => ({ ...definition, matches: keyMatcher(definition) })));
}

/** @param {Definition} definition @returns {(folded: string) => boolean} */
function keyMatcher({ folded, glob }) {
  if (!glob) return (key) => key === folded;
  return (key) => !key.startsWith("_") && fits(key, folded.split("*"));
}

/**
 * Return whether a key consists of these parts in order, with anything between them. A regular expression takes
 * exponential time for a name with many `*`.
 * @param {string} key
 * @param {string[]} parts at least two
 */
export function fits(key, parts) {
  const first = parts[0];
  const last = parts[parts.length - 1];
  if (key.length < first.length + last.length || !key.startsWith(first) || !key.endsWith(last)) return false;
  const end = key.length - last.length;
  let at = first.length;
  for (const part of parts.slice(1, -1)) {
    const start = key.indexOf(part, at);
    if (start < 0 || start + part.length > end) return false;
    at = start + part.length;
  }
  return true;
}

/**
 * Return the definition that applies to a key. A definition by name has precedence over one by pattern, and the last of
 * several applies.
 * @template {{glob: boolean, matches: (folded: string) => boolean}} T
 * @param {string} folded
 * @param {T[]} list
 * @returns {T | null}
 */
function findDefinition(folded, list) {
  /** @type {T | null} */
  let applied = null;
  for (const definition of list) if (definition.matches(folded) && (!applied || applied.glob || !definition.glob)) applied = definition;
  return applied;
}
