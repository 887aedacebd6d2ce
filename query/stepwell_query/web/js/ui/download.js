/** Saves files that the page has made. */

import { h } from "./dom.js";

const NAME_MAX = 120;

/**
 * Save a file.
 * @param {string} name
 * @param {Blob} blob
 */
export function download(name, blob) {
  const url = URL.createObjectURL(blob);
  const link = h("a", { href: url, download: name, hidden: true });
  document.body.append(link);
  link.click();
  link.remove();
  // Not before the browser has begun to read it.
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/**
 * Return the name of a file that says what it has: `digits-train-loss.csv`. Only letters, digits and `._-` are safe on all
 * systems.
 * @param {string[]} parts
 * @param {string} extension
 */
export function fileName(parts, extension) {
  const name = parts.map((part) => part.replace(/[^\p{L}\p{N}._-]+/gu, "-").replace(/^[-.]+|[-.]+$/g, "")).filter(Boolean).join("-");
  return `${[...name].slice(0, NAME_MAX).join("") || "stepwell"}.${extension}`;
}
