/** The order of importance of metrics, by their names. */

/** Parts of names that most trainings are judged by. */
const WATCHED = [/(^|[^a-z])loss/, /(^|[^a-z])acc(uracy)?($|[^a-z])/, /^(val|valid|validation|eval|test)($|[^a-z])/];

/**
 * Return the rank of a key or a section: loss, accuracy and validation come first, then all others.
 * @param {string} name
 */
export function importance(name) {
  const lower = name.toLowerCase();
  const at = WATCHED.findIndex((expression) => expression.test(lower));
  return at < 0 ? WATCHED.length : at;
}
