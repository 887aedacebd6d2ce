/** Search and order of texts, and parts of long texts. */

/** The order of texts with numbers: `rank2` comes before `rank10`. */
export const natural = new Intl.Collator("en", { numeric: true });

/**
 * Build a test of texts: the pattern is a regular expression that ignores case. A pattern that is no valid expression
 * is searched for as plain text.
 * @param {string} pattern
 * @returns {(text: string) => boolean}
 */
export function textMatcher(pattern) {
  if (!pattern) return () => true;
  try {
    const expression = new RegExp(pattern, "i");
    return (text) => expression.test(text);
  } catch {
    const plain = pattern.toLowerCase();
    return (text) => text.toLowerCase().includes(plain);
  }
}

/**
 * Return the reason why a pattern is no valid regular expression; "" if it is valid.
 * @param {string} pattern
 */
export function findPatternFlaw(pattern) {
  try {
    new RegExp(pattern, "i");
    return "";
  } catch (error) {
    const reason = /** @type {Error} */ (error).message.replace(/^Invalid regular expression: /, "").replace(/^\/.*\/[a-z]*: /s, "");
    return `Not a valid expression: ${reason.charAt(0).toLowerCase()}${reason.slice(1)}`;
  }
}

/**
 * Return the options whose labels contain all words, those that begin with the text first.
 * @template {{label: string}} T
 * @param {T[]} options
 * @param {string} text
 */
export function findOptions(options, text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const matching = options.filter(({ label }) => words.every((word) => label.toLowerCase().includes(word)));
  const begins = (/** @type {T} */ { label }) => Number(!label.toLowerCase().startsWith(words[0] ?? ""));
  return matching.map((option, at) => ({ option, at })).sort((a, b) => begins(a.option) - begins(b.option) || a.at - b.at).map(({ option }) => option);
}

const TAIL = 10;

/**
 * Split a name where it may be cut: runs of one sweep differ at the end of their names.
 * @param {string} name
 * @returns {[string, string]} the part that is shortened if there is no room, and the end; "" for short names
 */
export function splitName(name) {
  const characters = [...name];
  if (characters.length <= 2 * TAIL) return [name, ""];
  return [characters.slice(0, -TAIL).join(""), characters.slice(-TAIL).join("")];
}
