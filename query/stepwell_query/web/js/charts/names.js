/** Short forms of names that begin or end alike. */

const LONG = 24;

/**
 * Return what differs between long names: the words that all begin or end with are replaced by an ellipsis.
 * @param {string[]} names
 * @returns {string[]}
 */
export function differingParts(names) {
  if (new Set(names).size < 2 || names.every((name) => name.length <= LONG)) return names;
  const words = names.map((name) => name.split(/(?<=[-_/\s])|(?<=\.)(?!\d)/));
  const least = Math.min(...words.map((parts) => parts.length));
  let start = 0;
  while (start < least - 1 && words.every((parts) => parts[start] === words[0][start])) start += 1;
  let end = 0;
  const fromEnd = (/** @type {string[]} */ parts) => parts[parts.length - 1 - end];
  while (end < least - 1 - start && words.every((parts) => fromEnd(parts) === fromEnd(words[0]))) end += 1;
  return words.map((parts) => `${start ? "…" : ""}${parts.slice(start, parts.length - end).join("")}${end ? "…" : ""}`);
}
