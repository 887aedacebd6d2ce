/** The dialog in which several metrics are put into one chart. */

import { fill, h, iconButton } from "../ui/dom.js";
import { count } from "../ui/format.js";
import { patternSearch } from "../ui/pattern_search.js";
import { searchable } from "../ui/searchable.js";
import { loadStyle } from "../ui/style_sheet.js";
import { textMatcher } from "../ui/text_match.js";
import { isPlottable, keysAtRight } from "./chart_definitions.js";

/** @typedef {import("../types.js").ChartDefinition} ChartDefinition */
/** @typedef {import("../pages/workspace.js").Workspace} Workspace */

/** Metrics of one chart; more lines can't be distinguished. */
const KEYS_MAX = 20;
const LISTED_MAX = 200;
const AXES = [
  ["", "As all charts"],
  ["_step", "Step"],
  ["_runtime", "Relative time"],
  ["_timestamp", "Wall time"],
];

class ChartEditor {
  /** @param {Workspace} space @param {number} number of the chart; -1: a new one @param {string[]} keys of a new one */
  constructor(space, number, keys) {
    void loadStyle("extras.css");
    this.space = space;
    this.number = number;
    /** @type {ChartDefinition} */
    this.chart = space.store.view.charts[number] ?? { keys, right: [], title: "", x: "", log: false, logRight: false, rangeX: null, rangeY: null, rangeRight: null };
    this.metrics = space.metrics.filter(isPlottable);
    this.keys = [...this.chart.keys];
    this.right = new Set(this.chart.right);
    this.title = h("input", { type: "text", value: this.chart.title, maxlength: 120, placeholder: "the names of the metrics" });
    this.pattern = patternSearch({ placeholder: "Search metrics (regex)", "aria-label": "Search metrics for the chart" }, () => this.showOffered());
    this.offered = h("ul", { class: "column-list chart-offered", "aria-label": "Metrics" });
    this.chosen = h("ul", { class: "chart-chosen", "aria-label": "Metrics of the chart" });
    this.note = h("p", { class: "muted", role: "status" });
    const x = this.chart.x;
    const numbers = this.metrics.filter(({ stream }) => !stream).map(({ key }) => [key, key]);
    const axes = [...AXES, ...numbers, ...(x && ![...AXES, ...numbers].some(([value]) => value === x) ? [[x, x]] : [])];
    this.x = h("select", { "aria-label": "x axis of the chart" }, axes.map(([value, label]) => h("option", { value }, label)));
    this.x.value = x;
    this.ranges = { rangeX: new RangeInputs("x", this.chart.rangeX), rangeY: new RangeInputs("y", this.chart.rangeY), rangeRight: new RangeInputs("right y", this.chart.rangeRight) };
    this.log = checkbox("Logarithmic y axis", this.chart.log);
    this.logRight = checkbox("Logarithmic right axis", this.chart.logRight);
    this.save = h("button", { type: "button", class: "primary", onclick: () => this.done() }, "Show this chart");
    this.dialog = h("dialog", { class: "dialog chart-editor", "aria-label": number < 0 ? "New chart" : "Edit the chart" });
    fill(
      this.dialog,
      h("div", { class: "dialog-head" }, h("h2", {}, number < 0 ? "New chart" : "Edit the chart"), iconButton("close", "Close", () => this.dialog.close())),
      h("label", { class: "chart-field" }, "Title", this.title),
      this.chosen,
      this.pattern.element,
      this.offered,
      h("div", { class: "chart-axes" }, h("label", { class: "chart-field" }, "x axis", searchable(this.x)), Object.values(this.ranges).map(({ element }) => element), this.log.element, this.logRight.element),
      this.note,
      h("div", { class: "dialog-foot" }, number < 0 ? h("span") : h("button", { type: "button", onclick: () => this.remove() }, "Delete this chart"), this.save),
    );
    this.dialog.addEventListener("close", () => this.dialog.remove());
    // Metrics whose units differ do not fit onto one axis.
    if (number < 0) this.keys.forEach((key) => this.placeKey(key));
  }

  open() {
    document.body.append(this.dialog);
    this.show();
    this.dialog.showModal();
    this.pattern.input.focus();
  }

  show() {
    this.showChosen();
    this.showOffered();
  }

  showChosen() {
    fill(
      this.chosen,
      this.keys.map((key) => {
        const axis = h("select", { "aria-label": `Axis of ${key}`, onchange: () => this.turn(key, axis.value === "right") }, h("option", { value: "left" }, "left axis"), h("option", { value: "right" }, "right axis"));
        axis.value = this.right.has(key) ? "right" : "left";
        return h("li", {}, h("span", { class: "chart-key" }, key), axis, iconButton("close", `Remove ${key}`, () => this.toggle(key, false)));
      }),
    );
    this.chosen.hidden = !this.keys.length;
    const hasRight = this.right.size > 0;
    this.ranges.rangeRight.element.hidden = !hasRight;
    this.logRight.element.hidden = !hasRight;
    this.save.disabled = !this.keys.length;
  }

  showOffered() {
    const matches = textMatcher(this.pattern.input.value);
    const matching = this.metrics.filter(({ key }) => matches(key));
    fill(
      this.offered,
      matching.slice(0, LISTED_MAX).map(({ key }) => {
        const input = h("input", { type: "checkbox", onchange: () => this.toggle(key, input.checked) });
        input.checked = this.keys.includes(key);
        input.disabled = !input.checked && this.keys.length >= KEYS_MAX;
        return h("li", {}, h("label", {}, input, h("span", {}, key)));
      }),
    );
    const rest = matching.length - LISTED_MAX;
    this.note.textContent = [this.keys.length >= KEYS_MAX ? `A chart has ${KEYS_MAX} metrics at most.` : "", rest > 0 ? `${count(rest)} more: search for them.` : "", matching.length ? "" : "No metric matches."].filter(Boolean).join(" ");
  }

  /** @param {string} key @param {boolean} on */
  toggle(key, on) {
    this.keys = on ? [...this.keys, key] : this.keys.filter((one) => one !== key);
    if (on) this.placeKey(key);
    else this.right.delete(key);
    this.showChosen();
    // The list stays as it is, with its focus, unless the limit is reached or left.
    for (const input of this.offered.querySelectorAll("input")) {
      const name = input.closest("label")?.textContent ?? "";
      input.checked = this.keys.includes(name);
      input.disabled = !input.checked && this.keys.length >= KEYS_MAX;
    }
  }

  /** Put a key onto the right axis if its unit is not that of the first key. @param {string} key */
  placeKey(key) {
    const timed = (/** @type {string} */ one) => this.metrics.some((metric) => metric.key === one && metric.stream === "system");
    if (keysAtRight([this.keys[0], key].map((one) => ({ key: one, timed: timed(one) }))).includes(key)) this.right.add(key);
  }

  /** @param {string} key @param {boolean} right */
  turn(key, right) {
    if (right) this.right.add(key);
    else this.right.delete(key);
    this.showChosen();
    /** @type {HTMLElement | null} */ (this.chosen.querySelector(`[aria-label="${CSS.escape(`Axis of ${key}`)}"]`))?.focus();
  }

  done() {
    const failed = Object.values(this.ranges).filter((range) => !range.element.hidden).find((range) => range.flaw());
    if (failed) {
      this.note.textContent = failed.flaw();
      failed.low.focus();
      return;
    }
    /** @type {ChartDefinition} */
    const chart = {
      keys: this.keys,
      right: this.keys.filter((key) => this.right.has(key)),
      title: this.title.value.trim(),
      x: this.x.value,
      log: this.log.input.checked,
      logRight: this.right.size > 0 && this.logRight.input.checked,
      rangeX: this.ranges.rangeX.value(),
      rangeY: this.ranges.rangeY.value(),
      rangeRight: this.right.size ? this.ranges.rangeRight.value() : null,
    };
    const { charts } = this.space.store.view;
    this.dialog.close();
    this.space.store.set({ charts: this.number < 0 ? [...charts, chart] : charts.map((one, at) => (at === this.number ? chart : one)) }, { step: true });
    if (this.number < 0) this.space.charts.scrollTo(0, 0);
  }

  remove() {
    const { charts } = this.space.store.view;
    this.dialog.close();
    this.space.store.set({ charts: charts.filter((_, at) => at !== this.number), full: "" }, { step: true });
  }
}

/** The two ends of an axis; both empty: the whole range. */
class RangeInputs {
  /** @param {string} name of the axis @param {[number, number] | null} range */
  constructor(name, range) {
    this.name = name;
    const input = (/** @type {string} */ end, /** @type {number | undefined} */ value) => h("input", { type: "number", step: "any", "aria-label": `${name} ${end}`, placeholder: "auto", value });
    this.low = input("from", range?.[0]);
    this.high = input("to", range?.[1]);
    this.element = h("div", { class: "chart-field range" }, `${name} from`, this.low, "to", this.high);
  }

  /** @returns {[number, number] | null} */
  value() {
    return this.low.value && this.high.value && !this.flaw() ? [Number(this.low.value), Number(this.high.value)] : null;
  }

  /** Return what is wrong with the range; "" if it is valid or empty. */
  flaw() {
    const [low, high] = [this.low, this.high].map((input) => (input.validity.badInput ? NaN : input.value === "" ? null : Number(input.value)));
    if (low === null && high === null) return "";
    if (low === null || high === null) return `The range of ${this.name} needs both ends, or none.`;
    return low < high ? "" : `The range of ${this.name} begins below its end.`;
  }
}

/** @param {string} label @param {boolean} checked */
function checkbox(label, checked) {
  const input = h("input", { type: "checkbox" });
  input.checked = checked;
  return { input, element: h("label", { class: "chart-check" }, input, label) };
}

/**
 * Open the editor.
 * @param {Workspace} space
 * @param {number} number of the chart; -1: a new one
 * @param {string[]} keys of a new one
 */
export function editChart(space, number, keys) {
  new ChartEditor(space, number, keys).open();
}
