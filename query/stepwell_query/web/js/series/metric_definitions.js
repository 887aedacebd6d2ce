/** What `define_metric` said of metrics: which are not to be drawn, and which are drawn over others. Pure. */

/** @typedef {import("../types.js").Run} Run */

/**
 * Return a test of keys: whether every one of the runs that says anything of a key says that it is hidden.
 * @param {Run[]} runs
 * @returns {(key: string) => boolean}
 */
export function hiddenBy(runs) {
  const rules = collectDefinitions(runs, (one) => !!one.hidden);
  if (!rules.length) return () => false;
  return (key) => {
    const said = rules.map((list) => findDefinition(key.toLowerCase(), list)).filter((one) => one !== null);
    return said.length > 0 && said.every((one) => one.hidden);
  };
}

/**
 * Return a test of keys: whether any of the runs says that a key is drawn over another metric than the step.
 * @param {Run[]} runs
 * @returns {(key: string) => boolean}
 */
export function drawnOverOthers(runs) {
  const rules = collectDefinitions(runs, (one) => !!one.step_metric && one.step_metric !== "_step");
  return (key) => rules.some((list) => !["_step", "", null, undefined].includes(findDefinition(key.toLowerCase(), list)?.step_metric));
}

/**
 * Return the different lists of definitions that runs have, of those that say anything of what is asked.
 * @param {Run[]} runs
 * @param {(definition: Run["metric_definitions"][number]) => boolean} says
 */
function collectDefinitions(runs, says) {
  return [...new Set(runs.map((run) => JSON.stringify(run.metric_definitions ?? [])))]
    .map((text) => /** @type {Run["metric_definitions"]} */ (JSON.parse(text)))
    .filter((list) => list.some(says))
    .map((list) => list.map((one) => ({ ...one, matches: keyMatcher(one) })));
}

/** @param {Run["metric_definitions"][number]} definition @returns {(key: string) => boolean} */
function keyMatcher({ name, glob }) {
  const folded = name.toLowerCase();
  if (!glob) return (key) => key === folded;
  return (key) => !key.startsWith("_") && fits(key, folded.split("*"));
}

/**
 * Tell whether a key is made of these parts in order with anything between them. As a regular expression, a name with
 * many `*` takes exponential time.
 * @param {string} key
 * @param {string[]} parts two at least
 */
export function fits(key, parts) {
  const first = parts[0];
  const last = parts[parts.length - 1];
  if (key.length < first.length + last.length || !key.startsWith(first) || !key.endsWith(last)) return false;
  const end = key.length - last.length;
  let at = first.length;
  for (const part of parts.slice(1, -1)) {
    const found = key.indexOf(part, at);
    if (found < 0 || found + part.length > end) return false;
    at = found + part.length;
  }
  return true;
}

/**
 * A key's own definition goes before a pattern's, and of several the last one holds.
 * @template {{glob: boolean, matches: (key: string) => boolean}} T
 * @param {string} key
 * @param {T[]} list
 * @returns {T | null}
 */
function findDefinition(key, list) {
  /** @type {T | null} */
  let found = null;
  for (const one of list) if (one.matches(key) && (!found || found.glob || !one.glob)) found = one;
  return found;
}
