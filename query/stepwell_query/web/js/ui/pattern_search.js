/** A search by regular expression that reports an invalid expression where it is typed. */

import { h } from "./dom.js";
import { findPatternFlaw } from "./text_match.js";

let searches = 0;

/**
 * Build the search; `element` has the input and the place of its error.
 * @param {Record<string, unknown>} properties of the input
 * @param {(pattern: string) => void} oninput called after each change
 */
export function patternSearch(properties, oninput) {
  const id = `pattern-error-${(searches += 1)}`;
  const error = h("span", { id, class: "field-error", role: "status", hidden: true });
  const input = h("input", { type: "search", ...properties });
  const check = () => {
    const flaw = findPatternFlaw(input.value);
    error.textContent = flaw && `${flaw}. It is searched for as plain text.`;
    error.hidden = !flaw;
    input.setAttribute("aria-invalid", String(!!flaw));
    if (flaw) input.setAttribute("aria-describedby", id);
    else input.removeAttribute("aria-describedby");
  };
  input.addEventListener("input", () => (check(), oninput(input.value)));
  return { input, element: h("span", { class: "pattern-search" }, input, error), check };
}
