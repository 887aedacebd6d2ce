/** One picture in the whole window: arrow keys walk through steps and runs, and boxes and masks can be switched off. */

import { fill, h, iconButton } from "../ui/dom.js";
import { picture } from "./images.js";
import { panBy, WHOLE, zoomAt } from "./pan_zoom.js";
import { listOverlays } from "./references.js";

/**
 * @typedef {object} Picture
 * @property {string} id the same at all steps
 * @property {string} run name of its run
 * @property {string} color of the run
 * @property {string} about its step, and its number among several pictures
 * @property {any} value its reference
 */

/**
 * @typedef {object} Source
 * @property {string} name
 * @property {() => Picture[]} pictures at the shown step, by run
 * @property {(by: number) => void} move to another step
 */

const FACTOR = 1.25;

export class Lightbox {
  /** @param {Source} source @param {string} id of the first picture @param {() => void} onClose */
  constructor(source, id, onClose) {
    this.source = source;
    this.id = id;
    this.at = 0;
    this.view = WHOLE;
    this.drawn = "";
    /** @type {Set<string>} names of overlays that are switched off */
    this.off = new Set();
    this.swatch = h("span", { class: "swatch" });
    this.title = h("span", { class: "lightbox-title", role: "status" });
    this.overlays = h("span", { class: "overlays", role: "group", "aria-label": "Boxes and masks" });
    this.frame = h("div", { class: "lightbox-frame" });
    this.caption = h("p", { class: "caption" });
    this.dialog = h(
      "dialog",
      { class: "lightbox", "aria-label": `Pictures of ${source.name}` },
      h("header", { class: "lightbox-head" }, this.swatch, this.title, this.overlays, h("span", { class: "spacer" }), this.buttons(), iconButton("close", "Close", () => this.close())),
      this.frame,
      this.caption,
      h("p", { class: "muted keys-line" }, "← → steps · ↑ ↓ runs and pictures · + − 0 zoom · Esc close"),
    );
    this.dialog.addEventListener("close", () => {
      this.dialog.remove();
      onClose();
    });
    this.dialog.addEventListener("keydown", (event) => this.key(event));
    this.frame.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    this.frame.addEventListener("pointerdown", (event) => this.drag(event));
    this.frame.addEventListener("dblclick", (event) => this.zoom(this.view === WHOLE ? FACTOR ** 4 : 0, event));
  }

  buttons() {
    const button = (/** @type {string} */ text, /** @type {string} */ label, /** @type {() => void} */ onclick) => h("button", { type: "button", "aria-label": label, title: label, onclick }, text);
    return h(
      "span",
      { class: "lightbox-buttons" },
      button("←", "Previous step", () => this.step(-1)),
      button("→", "Next step", () => this.step(1)),
      button("↑", "Previous picture", () => this.move(-1)),
      button("↓", "Next picture", () => this.move(1)),
      button("−", "Zoom out", () => this.zoom(1 / FACTOR)),
      button("+", "Zoom in", () => this.zoom(FACTOR)),
    );
  }

  open() {
    document.body.append(this.dialog);
    this.dialog.showModal();
    this.update();
  }

  close() {
    this.dialog.close();
  }

  /** Show the picture as the source has it now. */
  update() {
    const pictures = this.source.pictures();
    const same = pictures.findIndex(({ id }) => id === this.id);
    this.at = same >= 0 ? same : Math.max(0, Math.min(this.at, pictures.length - 1));
    const shown = pictures[this.at];
    if (!shown) return;
    this.id = shown.id;
    this.swatch.style.background = shown.color;
    this.title.textContent = `${shown.run} · ${shown.about}`;
    this.caption.textContent = shown.value.caption ?? "";
    const overlays = listOverlays(shown.value);
    const drawn = JSON.stringify([shown.value, [...this.off]]);
    if (drawn === this.drawn) return;
    this.drawn = drawn;
    fill(this.overlays, overlays.map((overlay) => this.toggle(overlay)));
    this.stack = picture(shown.value, `${this.source.name} of ${shown.run}`, (overlay) => !this.off.has(overlayKey(overlay)));
    fill(this.frame, this.stack);
    this.place(this.view);
  }

  /** @param {import("./references.js").Overlay} overlay */
  toggle(overlay) {
    const key = overlayKey(overlay);
    const onclick = () => {
      if (!this.off.delete(key)) this.off.add(key);
      this.update();
      /** @type {HTMLElement | null} */ (this.overlays.querySelector(`[data-key="${CSS.escape(key)}"]`))?.focus();
    };
    return h("button", { type: "button", "data-key": key, "aria-pressed": String(!this.off.has(key)), onclick }, `${overlay.kind === "mask" ? "Mask" : "Boxes"} ${overlay.name}`);
  }

  /** @param {number} by */
  step(by) {
    this.source.move(by);
    this.update();
  }

  /** @param {number} by */
  move(by) {
    const pictures = this.source.pictures();
    const next = pictures[this.at + by];
    if (!next) return;
    this.id = next.id;
    this.update();
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    /** @type {Record<string, () => void>} */
    const keys = {
      ArrowLeft: () => this.step(-1),
      ArrowRight: () => this.step(1),
      ArrowUp: () => this.move(-1),
      ArrowDown: () => this.move(1),
      "+": () => this.zoom(FACTOR),
      "=": () => this.zoom(FACTOR),
      "-": () => this.zoom(1 / FACTOR),
      0: () => this.place(WHOLE),
    };
    const call = event.ctrlKey || event.metaKey || event.altKey ? undefined : keys[event.key];
    if (!call) return;
    event.preventDefault();
    call();
  }

  /**
   * @param {number} factor 0: show the whole picture
   * @param {{clientX: number, clientY: number}} [point] of the mouse; the frame's centre without
   */
  zoom(factor, point) {
    const box = this.frame.getBoundingClientRect();
    const centre = { x: box.left + box.width / 2, y: box.top + box.height / 2 };
    const at = point ? { x: point.clientX - centre.x, y: point.clientY - centre.y } : { x: 0, y: 0 };
    this.place(zoomAt(this.view, factor, at));
  }

  /** @param {import("./pan_zoom.js").View} view */
  place(view) {
    this.view = view;
    this.frame.dataset.scale = String(Math.round(view.scale * 100) / 100);
    if (this.stack) this.stack.style.transform = `translate(${view.x}px, ${view.y}px) scale(${view.scale})`;
  }

  /** @param {WheelEvent} event */
  wheel(event) {
    event.preventDefault();
    this.zoom(Math.exp(-event.deltaY / 400), event);
  }

  /** @param {PointerEvent} event */
  drag(event) {
    if (this.view.scale === 1 || event.button !== 0) return;
    event.preventDefault();
    this.frame.setPointerCapture(event.pointerId);
    const move = (/** @type {PointerEvent} */ moved) => this.place(panBy(this.view, moved.movementX, moved.movementY, this.frame.getBoundingClientRect()));
    this.frame.addEventListener("pointermove", move);
    this.frame.addEventListener("lostpointercapture", () => this.frame.removeEventListener("pointermove", move), { once: true });
  }
}

/** @param {import("./references.js").Overlay} overlay */
function overlayKey({ kind, name }) {
  return `${kind} ${name}`;
}
