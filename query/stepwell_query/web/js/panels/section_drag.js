/** Drags a section to another place among the others. */

import { h } from "../ui/dom.js";

/** @typedef {import("./virtual_grid.js").VirtualGrid} VirtualGrid */

/** Pixels from which a press is a drag. */
const START = 4;

/**
 * Begin to drag a section with the pointer; Escape ends it without a change.
 * @param {PointerEvent} event
 * @param {VirtualGrid} grid
 * @param {string} name of the section
 * @param {number} height of a heading
 */
export function startDrag(event, grid, name, height) {
  if (event.button !== 0) return;
  const began = event.clientY;
  const line = h("div", { class: "drop-line", "aria-hidden": "true" });
  let to = -1;
  const move = (/** @type {PointerEvent} */ moved) => {
    if (!grid.dragging) {
      if (Math.abs(moved.clientY - began) < START) return;
      grid.dragging = true;
      grid.layout();
      grid.element.append(line);
    }
    const top = moved.clientY - grid.element.getBoundingClientRect().top;
    to = Math.max(0, Math.min(grid.sections.length, Math.round(top / height)));
    line.style.top = `${to * height}px`;
  };
  const end = () => {
    removeEventListener("pointermove", move);
    removeEventListener("pointerup", drop);
    removeEventListener("pointercancel", end);
    removeEventListener("keydown", cancel, true);
    line.remove();
    if (!grid.dragging) return;
    grid.dragging = false;
    grid.layout();
  };
  const drop = () => {
    const dragged = grid.dragging;
    end();
    if (dragged && to >= 0) grid.move(name, to);
    grid.element.querySelector(`.grip[data-section="${CSS.escape(name)}"]`)?.scrollIntoView({ block: "nearest" });
  };
  const cancel = (/** @type {KeyboardEvent} */ pressed) => {
    if (pressed.key !== "Escape") return;
    pressed.stopPropagation();
    end();
  };
  addEventListener("pointermove", move);
  addEventListener("pointerup", drop);
  addEventListener("pointercancel", end);
  addEventListener("keydown", cancel, true);
}
