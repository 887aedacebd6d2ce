/** A panel with the media that the shown runs logged at a step, next to each other, with a slider over the steps. */

import { h, iconButton } from "../ui/dom.js";
import { count } from "../ui/format.js";
import { mediaView } from "../media/media_views.js";
import { findFlaw, ITEMS_MAX } from "../media/references.js";
import { RowsPanel } from "./rows_panel.js";
import { rowAt, listSteps } from "./rows_cache.js";
import { shownColor } from "../ui/theme.js";

/** @typedef {import("./rows_cache.js").Row} Row */
/** @typedef {import("../types.js").Run} Run */
/** @typedef {{element: HTMLElement, holder: HTMLElement, swatch: HTMLElement, step: HTMLElement, shown: string, leave: () => void}} Tile */

export class MediaPanel extends RowsPanel {
  /** @param {ConstructorParameters<typeof RowsPanel>} given */
  constructor(...given) {
    super(...given);
    this.tiles = h("div", { class: `tiles tiles-${this.spec.kind}`, tabindex: "0", role: "group", "aria-label": this.spec.key });
    this.slider = h("input", { type: "range", min: "0", step: "1", "aria-label": `Step of ${this.spec.key}`, oninput: () => this.choose(Number(this.slider.value)) });
    this.step = h("output", { class: "step" });
    this.foot = h("div", { class: "slider" }, this.slider, this.step);
    this.body.append(this.tiles, this.foot);
    /** @type {number[]} */
    this.steps = [];
    /** @type {Map<string, Tile>} by run */
    this.byRun = new Map();
    this.at = 0;
    /** @type {import("../media/lightbox.js").Lightbox | null} */
    this.lightbox = null;
    if (this.spec.kind === "image") this.openPictures();
    this.update();
  }

  /** Let a click on a picture, and a button, open the lightbox. */
  openPictures() {
    this.buttons.prepend(iconButton("eye", `Open the pictures of ${this.spec.key}`, () => this.open(0, 0)));
    this.tiles.addEventListener("click", (event) => {
      const image = event.target instanceof Element ? event.target.closest(".image") : null;
      const tile = image?.closest(".tile");
      if (!image || !tile) return;
      this.open([...this.tiles.children].indexOf(tile), [...tile.querySelectorAll(".image")].indexOf(image));
    });
  }

  /** @param {number} tile @param {number} item of the tile */
  async open(tile, item) {
    const run = [...this.tiles.children][tile]?.getAttribute("data-run") ?? "";
    const ofRun = this.pictures().filter(({ id }) => id.startsWith(`${run}/`));
    const id = (ofRun[item] ?? ofRun[0])?.id;
    if (id === undefined) return;
    const source = { name: this.spec.key, pictures: () => this.pictures(), move: (/** @type {number} */ by) => this.move(by) };
    const { Lightbox } = await import("../media/lightbox.js");
    if (this.gone || this.lightbox) return;
    this.lightbox = new Lightbox(source, id, () => (this.lightbox = null));
    this.lightbox.open();
  }

  /** Return the pictures at the chosen step, by run. @returns {import("../media/lightbox.js").Picture[]} */
  pictures() {
    return this.runs().flatMap((run) => {
      const row = rowAt(this.rows.rows.get(run.path) ?? [], this.steps[this.at]);
      /** @type {any[]} */
      const items = row ? (Array.isArray(row.value.items) ? row.value.items.slice(0, ITEMS_MAX) : [row.value]) : [];
      const color = this.space.runs.color(run, this.space.store.view);
      const about = (/** @type {number} */ at) => `step ${count(row?.step ?? 0)}${items.length > 1 ? ` · ${at + 1} of ${items.length}` : ""}`;
      return items.flatMap((value, at) => (findFlaw("image", value) ? [] : [{ id: `${run.run_id}/${at}`, run: run.name, color, about: about(at), value }]));
    });
  }

  /** @param {number} by number of steps */
  move(by) {
    const at = Math.max(0, Math.min(this.at + by, this.steps.length - 1));
    if (at !== this.at) this.choose(at);
  }

  destroy() {
    super.destroy();
    this.lightbox?.close();
    for (const tile of this.byRun.values()) tile.leave();
  }

  /** @param {number} at index of a step; at the last step, the panel follows new steps */
  choose(at) {
    const step = at === this.steps.length - 1 ? undefined : this.steps[at];
    this.space.store.setPanel(this.spec.key, { step }, { often: true });
  }

  draw() {
    if (this.gone) return;
    const runs = this.runs();
    this.steps = listSteps(runs.map((run) => this.rows.rows.get(run.path) ?? []));
    this.updateStatus();
    const chosen = this.space.store.view.panels[this.spec.key]?.step ?? Infinity;
    const at = Math.max(0, this.steps.findLastIndex((step) => step <= chosen));
    this.at = at;
    this.foot.hidden = this.steps.length < 2;
    this.slider.max = String(Math.max(0, this.steps.length - 1));
    this.slider.value = String(at);
    const step = this.steps[at];
    this.slider.setAttribute("aria-valuetext", `step ${step}`);
    this.step.textContent = step === undefined ? "" : `step ${count(step)}`;
    this.show(runs, step);
    this.lightbox?.update();
  }

  /** @param {Run[]} runs @param {number} step */
  show(runs, step) {
    const kept = new Set();
    /** @type {HTMLElement | null} */
    let before = null;
    for (const run of runs) {
      const row = rowAt(this.rows.rows.get(run.path) ?? [], step);
      if (!row) continue;
      kept.add(run.path);
      /** @type {Tile} */
      const tile = this.byRun.get(run.path) ?? this.tile(run, before);
      before = tile.element;
      tile.step.textContent = row.step === step ? "" : `step ${count(row.step)}`;
      tile.swatch.style.background = shownColor(this.space.runs.color(run, this.space.store.view));
      const shown = JSON.stringify(row.value);
      // Unchanged media stay: a video continues to play, and a page keeps its scroll position.
      if (tile.shown === shown) continue;
      tile.leave();
      tile.shown = shown;
      const { element, leave } = mediaView(this.spec.kind, row.value, { name: `${this.spec.key} of ${run.name}`, large: this.large });
      tile.leave = leave;
      tile.holder.replaceChildren(element);
    }
    for (const [run, tile] of this.byRun) {
      if (kept.has(run)) continue;
      tile.leave();
      tile.element.remove();
      this.byRun.delete(run);
    }
  }

  /**
   * Add a tile for a run after the tile of the previous run. Existing tiles are not moved, since frames would reload.
   * @param {Run} run
   * @param {HTMLElement | null} before tile of the previous run
   * @returns {Tile}
   */
  tile(run, before) {
    const swatch = h("span", { class: "swatch" });
    const step = h("span", { class: "muted" });
    const holder = h("div", { class: "tile-body" });
    const head = h("div", { class: "tile-head" }, swatch, h("span", { class: "tile-name", title: run.name }, run.name), step);
    const element = h("figure", { class: "tile", "data-run": run.run_id }, head, holder);
    const tile = { element, holder, swatch, step, shown: "", leave: () => undefined };
    this.byRun.set(run.path, tile);
    if (before) before.after(element);
    else this.tiles.prepend(element);
    return tile;
  }
}
