/** The edge of a side panel, by which it is resized; the width is remembered. */

import { h } from "./dom.js";

const STEP = 16;
const SHARE_MAX = 0.6;

/**
 * Return a width within the limits.
 * @param {number} width pixels
 * @param {number} low
 * @param {number} room width of the window
 */
export function limitWidth(width, low, room) {
  return Math.round(Math.max(low, Math.min(width, room * SHARE_MAX)));
}

/**
 * Build the edge.
 * @param {object} options
 * @param {string} options.key under which the width is stored
 * @param {string} options.label
 * @param {number} options.initial width in pixels
 * @param {number} options.low the least width
 * @param {(width: number) => void} options.apply
 */
export function resizer({ key, label, initial, low, apply }) {
  const edge = h("div", { class: "resizer", role: "separator", tabindex: "0", "aria-orientation": "vertical", "aria-label": label, title: `${label}: drag, or double-click to reset` });
  let width = initial;
  const set = (/** @type {number} */ wanted) => {
    width = limitWidth(wanted, low, innerWidth);
    edge.setAttribute("aria-valuenow", String(width));
    edge.setAttribute("aria-valuemin", String(low));
    edge.setAttribute("aria-valuemax", String(limitWidth(Infinity, low, innerWidth)));
    apply(width);
  };
  const keep = (/** @type {number} */ wanted) => {
    set(wanted);
    write(key, width);
  };
  edge.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    edge.setPointerCapture(event.pointerId);
    const offset = width - event.clientX;
    const move = (/** @type {PointerEvent} */ moved) => set(moved.clientX + offset);
    edge.addEventListener("pointermove", move);
    edge.addEventListener("lostpointercapture", () => (edge.removeEventListener("pointermove", move), write(key, width)), { once: true });
  });
  edge.addEventListener("dblclick", () => keep(initial));
  edge.addEventListener("keydown", (event) => {
    const moves = { ArrowLeft: -STEP, ArrowRight: STEP }[event.key];
    if (!moves) return;
    event.preventDefault();
    keep(width + moves);
  });
  set(read(key) ?? initial);
  return edge;
}

/** @param {string} key */
function read(key) {
  try {
    const width = Number(localStorage.getItem(key));
    return width > 0 ? width : null;
  } catch {
    return null;
  }
}

/** @param {string} key @param {number} width */
function write(key, width) {
  try {
    localStorage.setItem(key, String(width));
  } catch {
    // Without storage, the width lasts until the page is closed.
  }
}
