/** Loads style sheets that the first view does not need. */

import { h } from "./dom.js";

/** @type {Map<string, Promise<void>>} */
const loading = new Map();

/**
 * Load a style sheet once.
 * @param {string} name of a file in `css`
 * @returns {Promise<void>} resolves when it applies, or has failed
 */
export function loadStyle(name) {
  const known = loading.get(name);
  if (known) return known;
  const link = h("link", { rel: "stylesheet", href: new URL(`../../css/${name}`, import.meta.url).pathname });
  const loaded = new Promise((/** @type {(value: void) => void} */ done) => {
    link.addEventListener("load", () => done());
    link.addEventListener("error", () => done());
  });
  document.head.append(link);
  loading.set(name, loaded);
  return loaded;
}
