/** Search of texts by what a person types. */

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
