/** The run, group or rank whose lines all charts emphasize, for as long as the pointer or the focus is on its name. */

/** @type {Set<() => void>} */
const listeners = new Set();
let owner = "";

/** Return the owner of the emphasized lines; "": none. */
export function emphasized() {
  return owner;
}

/**
 * Emphasize the lines of an owner in all charts.
 * @param {string} id of a run, or name of a group or rank; "": none
 */
export function emphasize(id) {
  if (owner === id) return;
  owner = id;
  for (const call of [...listeners]) call();
}

/**
 * @param {() => void} call
 * @returns {() => void} ends it
 */
export function onEmphasis(call) {
  listeners.add(call);
  return () => listeners.delete(call);
}

/**
 * Emphasize what an element in a list names (`data-owner`) while the pointer or the focus is on it.
 * @param {HTMLElement} list
 */
export function emphasizeHovered(list) {
  const over = (/** @type {Event} */ event) => emphasize(/** @type {Element} */ (event.target).closest?.("[data-owner]")?.getAttribute("data-owner") ?? "");
  list.addEventListener("pointerover", over);
  list.addEventListener("focusin", over);
  for (const name of ["pointerleave", "focusout"]) list.addEventListener(name, () => emphasize(""));
}
