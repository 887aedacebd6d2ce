/** The controls above the panels: search, x axis, smoothing, scales and sections. */

import { debounced, fill, h } from "../ui/dom.js";
import { viewChips } from "../panels/view_chips.js";
import { RankControls } from "./rank_controls.js";
import { patternSearch } from "../ui/pattern_search.js";
import { searchable } from "../ui/searchable.js";

/** @typedef {import("../state/view_state.js").Store} Store */
/** @typedef {import("../types.js").SmoothKind} SmoothKind */

const SEARCH_MS = 120;
const OPTIONS_MAX = 500;

/** @type {Record<SmoothKind, {label: string, max: number, step: number, initial: number}>} */
const SMOOTHINGS = {
  none: { label: "no smoothing", max: 0, step: 1, initial: 0 },
  ema: { label: "exponential", max: 0.999, step: 0.001, initial: 0.6 },
  average: { label: "running average", max: 101, step: 2, initial: 11 },
  gaussian: { label: "gaussian", max: 50, step: 0.5, initial: 4 },
};

const AXES = [
  ["", "x: automatic"],
  ["_step", "x: step"],
  ["_runtime", "x: relative time"],
  ["_timestamp", "x: wall time"],
];

export class Toolbar {
  /**
   * @param {Store} store
   * @param {{ranks: boolean, onAdd: () => void, onNodes: () => void, nameOwner?: (owner: string) => string}} options `ranks`: with
   *   the choice of how ranks are drawn, once there are several; `onAdd` adds a chart; `onNodes` is called when the nodes of
   *   ranks were read; `nameOwner` returns the name of the run with an id
   */
  constructor(store, { ranks, onAdd, onNodes, nameOwner = (owner) => owner }) {
    this.store = store;
    this.nameOwner = nameOwner;
    this.ranks = ranks ? new RankControls(store, onNodes) : null;
    this.axisKeys = "";
    const search = debounced((/** @type {string} */ q) => store.set({ q }, { often: true }), SEARCH_MS);
    this.pattern = patternSearch({ class: "metric-search", placeholder: "Search metrics (regex)  /", "aria-label": "Search metrics by regular expression" }, search);
    this.search = this.pattern.input;
    this.axis = h("select", { "aria-label": "x axis", onchange: () => store.set({ x: this.axis.value, zoom: null }, { step: true }) });
    this.kind = h(
      "select",
      { "aria-label": "Smoothing", onchange: () => this.chooseKind() },
      Object.entries(SMOOTHINGS).map(([value, { label }]) => h("option", { value }, label)),
    );
    this.amount = h("input", { type: "range", min: "0", "aria-label": "Amount of smoothing", oninput: () => this.chooseAmount() });
    this.amountText = h("output", { class: "amount" });
    this.logx = toggle("log x", "Logarithmic x axis", () => store.set({ logx: !store.view.logx }, { step: true }));
    this.logy = toggle("log y", "Logarithmic y axis of all charts", () => store.set({ logy: !store.view.logy }, { step: true }));
    this.outliers = toggle("no outliers", "Exclude outliers from the range of the y axis", () => store.set({ outliers: !store.view.outliers }, { step: true }));
    this.legend = toggle("legend", "Show a legend below each chart", () => store.set({ legend: !store.view.legend }, { step: true }));
    this.sections = toggle("every /", "Name sections by the part of a key before its last /", () =>
      store.set({ sections: store.view.sections === "all" ? "first" : "all" }, { step: true }),
    );
    this.add = h("button", { type: "button", title: "Put several metrics into one chart", onclick: onAdd }, "New chart");
    this.chips = h("span", { class: "chips" });
    this.element = h(
      "div",
      { class: "toolbar", role: "toolbar", "aria-label": "Charts" },
      this.pattern.element,
      searchable(this.axis),
      h("span", { class: "smoothing" }, this.kind, this.amount, this.amountText),
      this.ranks?.element,
      h("span", { class: "toggles" }, this.logx, this.logy, this.outliers, this.legend, this.sections),
      this.add,
      this.chips,
    );
    this.setMetrics([]);
    this.update();
    store.on((_, changed) => ["q", "x", "smooth", "logx", "logy", "outliers", "legend", "sections", "zoom", "solo", "base"].some((name) => changed.has(name)) && this.update());
  }

  /**
   * Offer the logged numbers as x axes.
   * @param {string[]} keys
   */
  setMetrics(keys) {
    this.showChips();
    const { x } = this.store.view;
    const offered = keys.includes(x) || AXES.some(([value]) => value === x) ? keys : [x, ...keys];
    const text = offered.join("\n");
    if (text === this.axisKeys && this.axis.options.length) return;
    this.axisKeys = text;
    this.axis.replaceChildren(
      ...AXES.map(([value, label]) => h("option", { value }, label)),
      ...offered.slice(0, OPTIONS_MAX).map((key) => h("option", { value: key }, `x: ${key}`)),
    );
    this.axis.value = x;
  }

  chooseKind() {
    const kind = /** @type {SmoothKind} */ (this.kind.value);
    this.store.set({ smooth: { kind, amount: SMOOTHINGS[kind].initial } }, { step: true });
  }

  chooseAmount() {
    this.store.set({ smooth: { kind: this.store.view.smooth.kind, amount: Number(this.amount.value) } }, { often: true });
  }

  /** Show what limits all charts. The name of a run is known when the runs have been read. */
  showChips() {
    const chips = viewChips(this.store, this.nameOwner);
    if (chips.map((chip) => chip.textContent).join("\n") !== [...this.chips.children].map((chip) => chip.textContent).join("\n")) fill(this.chips, chips);
  }

  update() {
    const { view } = this.store;
    if (document.activeElement !== this.search) this.search.value = view.q;
    this.pattern.check();
    if (this.axis.value !== view.x) this.setMetrics(this.axisKeys.split("\n").filter(Boolean));
    this.axis.value = view.x;
    const { max, step } = SMOOTHINGS[view.smooth.kind];
    this.kind.value = view.smooth.kind;
    this.amount.hidden = view.smooth.kind === "none";
    this.amount.max = String(max);
    this.amount.step = String(step);
    this.amount.value = String(view.smooth.amount);
    this.amountText.textContent = view.smooth.kind === "none" ? "" : String(view.smooth.amount);
    pressed(this.logx, view.logx);
    pressed(this.logy, view.logy);
    pressed(this.outliers, view.outliers);
    pressed(this.legend, view.legend);
    this.showChips();
    pressed(this.sections, view.sections === "all");
  }
}

/** @param {string} text @param {string} title @param {() => void} onclick */
function toggle(text, title, onclick) {
  return h("button", { type: "button", class: "toggle", title, "aria-pressed": "false", onclick }, text);
}

/** @param {HTMLElement} button @param {boolean} on */
function pressed(button, on) {
  button.setAttribute("aria-pressed", String(on));
}
