/** Which metrics a script wants not to be drawn, as `define_metric(hidden=True)` said. Pure. */

/** @typedef {import("./types.js").Run} Run */

/**
 * Return a test of keys: whether every one of the runs that says anything of a key says that it is hidden.
 * @param {Run[]} runs
 * @returns {(key: string) => boolean}
 */
export function hiddenBy(runs) {
  const lists = [...new Set(runs.map((run) => JSON.stringify(run.metric_definitions ?? [])))]
    .map((text) => /** @type {Run["metric_definitions"]} */ (JSON.parse(text)))
    .filter((list) => list.some((one) => one.hidden));
  if (!lists.length) return () => false;
  const rules = lists.map((list) => list.map((one) => ({ ...one, matches: matcherOf(one) })));
  return (key) => {
    const said = rules.map((list) => definitionOf(key.toLowerCase(), list)).filter((one) => one !== null);
    return said.length > 0 && said.every((one) => one.hidden);
  };
}

/** @param {Run["metric_definitions"][number]} definition @returns {(key: string) => boolean} */
function matcherOf({ name, glob }) {
  const folded = name.toLowerCase();
  if (!glob) return (key) => key === folded;
  const parts = folded.split("*").map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  const pattern = new RegExp(`^${parts.join("[^]*")}$`);
  return (key) => !key.startsWith("_") && pattern.test(key);
}

/**
 * A key's own definition goes before a pattern's, and of several the last one holds.
 * @template {{glob: boolean, matches: (key: string) => boolean}} T
 * @param {string} key
 * @param {T[]} list
 * @returns {T | null}
 */
function definitionOf(key, list) {
  /** @type {T | null} */
  let found = null;
  for (const one of list) if (one.matches(key) && (!found || found.glob || !one.glob)) found = one;
  return found;
}
