/** The run, group or rank whose lines all charts emphasize, for as long as the pointer or the focus is on its name. */

import { FrameQueue } from "../ui/frame_queue.js";

/** @type {Set<() => void>} */
const listeners = new Set();
/** Painting a line over the others of a chart takes 15 ms without a graphics card. */
const CHARTS_PER_FRAME = 2;
const frames = new FrameQueue(undefined, CHARTS_PER_FRAME);
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
  frames.replace([...listeners].map((call) => () => listeners.has(call) && call()));
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
