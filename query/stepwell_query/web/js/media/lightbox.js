/**
 * One picture in the whole window: arrow keys walk through steps and runs, and boxes and masks can be switched off. A
 * second one stays next to it, for a comparison of two runs or two steps; both are zoomed together.
 */

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
    /** @type {Picture | null} the picture at the left, which stays as it is; null: there is one picture */
    this.kept = null;
    this.keptFrame = h("div", { class: "lightbox-frame" });
    this.keptCaption = h("p", { class: "caption" });
    this.keptSide = h("div", { class: "lightbox-side" }, this.keptFrame, this.keptCaption);
    this.frames = h("div", { class: "lightbox-sides" }, h("div", { class: "lightbox-side" }, this.frame, this.caption));
    this.side = h("button", { type: "button", "aria-pressed": "false", title: "Keep this picture at the left, and look at others next to it", onclick: () => this.toggleSide() }, "Side by side");
    this.dialog = h(
      "dialog",
      { class: "lightbox", "aria-label": `Pictures of ${source.name}` },
      h("header", { class: "lightbox-head" }, this.swatch, this.title, this.overlays, h("span", { class: "spacer" }), this.side, this.buttons(), iconButton("close", "Close", () => this.close())),
      this.frames,
      h("p", { class: "muted keys-line" }, "← → steps · ↑ ↓ runs and pictures · s side by side · + − 0 zoom · Esc close"),
    );
    this.dialog.addEventListener("close", () => {
      this.dialog.remove();
      onClose();
    });
    this.dialog.addEventListener("keydown", (event) => this.key(event));
    this.frames.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    this.frames.addEventListener("pointerdown", (event) => this.drag(event));
    this.frames.addEventListener("dblclick", (event) => this.zoom(this.view === WHOLE ? FACTOR ** 4 : 0, event));
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
    this.caption.textContent = [...(this.kept ? [`${shown.run} · ${shown.about}`] : []), shown.value.caption].filter(Boolean).join(" · ");
    const overlays = [shown, this.kept].flatMap((one) => (one ? listOverlays(one.value) : []));
    const drawn = JSON.stringify([shown.value, this.kept, [...this.off]]);
    if (drawn === this.drawn) return;
    this.drawn = drawn;
    fill(this.overlays, [...new Map(overlays.map((overlay) => [overlayKey(overlay), overlay])).values()].map((overlay) => this.toggle(overlay)));
    this.stack = this.stackOf(shown);
    fill(this.frame, this.stack);
    this.keptStack = this.kept ? this.stackOf(this.kept) : null;
    fill(this.keptFrame, this.keptStack);
    if (this.kept) this.frames.prepend(this.keptSide);
    else this.keptSide.remove();
    this.keptCaption.textContent = this.kept ? [`${this.kept.run} · ${this.kept.about}`, this.kept.value.caption].filter(Boolean).join(" · ") : "";
    this.side.setAttribute("aria-pressed", String(!!this.kept));
    this.place(this.view);
  }

  /** Build a picture with the overlays that are switched on. @param {Picture} shown */
  stackOf(shown) {
    return picture(shown.value, `${this.source.name} of ${shown.run}`, (overlay) => !this.off.has(overlayKey(overlay)));
  }

  /** Keep the shown picture at the left, next to that of another run, otherwise that of another step; or show one again. */
  toggleSide() {
    const pictures = this.source.pictures();
    if (this.kept) this.kept = null;
    else {
      this.kept = pictures[this.at] ?? null;
      const other = pictures[this.at + 1] ?? pictures[this.at - 1];
      if (other) this.id = other.id;
      else this.source.move(-1);
    }
    this.update();
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
      s: () => this.toggleSide(),
      0: () => this.place(WHOLE),
    };
    const call = event.ctrlKey || event.metaKey || event.altKey ? undefined : keys[event.key];
    if (!call) return;
    event.preventDefault();
    call();
  }

  /**
   * @param {number} factor 0: show the whole picture
   * @param {MouseEvent} [point] of the mouse; the frame's centre without
   */
  zoom(factor, point) {
    const box = this.frameAt(point).getBoundingClientRect();
    const centre = { x: box.left + box.width / 2, y: box.top + box.height / 2 };
    const at = point ? { x: point.clientX - centre.x, y: point.clientY - centre.y } : { x: 0, y: 0 };
    this.place(zoomAt(this.view, factor, at));
  }

  /** Return the frame below the mouse. @param {Event} [event] */
  frameAt(event) {
    const frame = event?.target instanceof Element ? event.target.closest(".lightbox-frame") : null;
    return frame ?? this.frame;
  }

  /** @param {import("./pan_zoom.js").View} view of both pictures */
  place(view) {
    this.view = view;
    for (const frame of [this.frame, this.keptFrame]) frame.dataset.scale = String(Math.round(view.scale * 100) / 100);
    for (const stack of [this.stack, this.keptStack]) if (stack) stack.style.transform = `translate(${view.x}px, ${view.y}px) scale(${view.scale})`;
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
    this.frames.setPointerCapture(event.pointerId);
    const move = (/** @type {PointerEvent} */ moved) => this.place(panBy(this.view, moved.movementX, moved.movementY, this.frame.getBoundingClientRect()));
    this.frames.addEventListener("pointermove", move);
    this.frames.addEventListener("lostpointercapture", () => this.frames.removeEventListener("pointermove", move), { once: true });
  }
}

/** @param {import("./references.js").Overlay} overlay */
function overlayKey({ kind, name }) {
  return `${kind} ${name}`;
}
