/** The list of runs next to the charts, or the table of runs: its search, its order and its other controls. */

import { debounced, fill, h, iconButton } from "../ui/dom.js";
import { runFields, serviceInfoIsLoaded } from "../api/service_info.js";
import { resizer } from "../ui/resizer.js";
import { searchable } from "../ui/searchable.js";
import { defaultColumns, groupOptions, orderOption, orderOptions, reverseOrder } from "./run_columns.js";
import { FieldCatalog } from "./run_fields.js";
import { RunRows } from "./run_rows.js";
import { count } from "../ui/format.js";

/** @typedef {import("../types.js").Run} Run */
/** @typedef {import("../pages/workspace.js").Workspace} Workspace */

const SEARCH_MS = 150;
const WIDTH = 292;
const WIDTH_MIN = 200;

export class RunsTable {
  /** @param {Workspace} space */
  constructor(space) {
    this.space = space;
    const { store } = space;
    const search = debounced((/** @type {string} */ rq) => store.set({ rq }), SEARCH_MS);
    this.search = h("input", {
      type: "search",
      class: "run-search",
      placeholder: "Search runs: adam config.lr>0.01 tag:x",
      "aria-describedby": "run-search-error",
      "aria-label": "Search runs: words, and conditions such as config.lr>0.01, state=running or tag:paper",
      oninput: () => search(this.search.value),
    });
    this.sort = h("select", { "aria-label": "Order of runs", onchange: () => store.set({ sort: this.sort.value }, { step: true }) });
    this.reverse = h("button", { type: "button", class: "reverse", "aria-label": "Reverse the order", title: "Reverse the order", onclick: () => store.set({ sort: reverseOrder(store.view.sort) }, { step: true }) });
    this.group = h("select", { "aria-label": "Group runs", onchange: () => store.set({ group: this.group.value }, { step: true }) });
    this.searchError = h("div", { class: "search-error", id: "run-search-error", role: "status", hidden: true });
    this.total = h("span", { class: "runs-total" });
    this.failed = h("div", { class: "runs-failed", role: "status", hidden: true });
    this.wide = iconButton("table", "Runs as a table", () => store.set({ table: !store.view.table, compare: "" }, { step: true }), { "aria-pressed": "false" });
    this.compare = h("button", { type: "button", class: "compare", "aria-pressed": "false", title: "Compare the shown runs: their last values, config and metadata", onclick: () => this.compareShown() }, "Compare");
    this.columns = iconButton("columns", "Choose columns", () => this.chooseColumns(), { disabled: true });
    this.csv = iconButton("download", "Download the table as CSV", () => this.downloadCsv(), { hidden: true });
    this.csvError = "";
    this.change = h("button", { type: "button", disabled: true, onclick: () => this.changeRuns() }, "Edit");
    this.rows = new RunRows(space.runs, store);
    this.element = h(
      "aside",
      { class: "runs", "aria-label": "Runs" },
      h("div", { class: "runs-head" }, h("h2", {}, "Runs"), this.total, h("span", { class: "spacer" }), this.change, this.csv, this.columns, this.compare, this.wide),
      this.search,
      this.searchError,
      h("div", { class: "runs-controls" }, searchable(this.sort), this.reverse, searchable(this.group)),
      this.failed,
      this.rows.element,
    );
    const apply = (/** @type {number} */ width) => document.documentElement.style.setProperty("--runs-width", `${width}px`);
    this.element.append(resizer({ key: "stepwell-runs-width", label: "Width of the list of runs", initial: WIDTH, low: WIDTH_MIN, apply }));
    /** @type {FieldCatalog | null} */
    this.catalog = null;
    /** @type {Run[] | null} the runs by which columns and options were chosen */
    this.chosenBy = null;
    /** @type {string[]} */
    this.defaults = [];
    /** @type {import("./run_columns.js").Option[]} */
    this.orders = [];
  }

  /** Compare the shown runs, or show the charts again. The address names the runs that are loaded: newer ones do not replace them. */
  compareShown() {
    const { runs, store } = this.space;
    const { view } = store;
    const shown = runs.shown(view).map((run) => run.run_id);
    const show = view.show ?? (shown.length ? shown : null);
    store.set(view.compare ? { compare: "" } : { compare: "diff", table: false, show }, { step: true });
  }

  async downloadCsv() {
    const { runs, store } = this.space;
    this.csv.disabled = true;
    this.csvError = "";
    try {
      const { downloadTable } = await import("./table_csv.js");
      await downloadTable(runs, store.view, this.shownColumns());
    } catch (error) {
      this.csvError = /** @type {Error} */ (error).message;
    }
    this.csv.disabled = false;
    this.update();
  }

  async chooseColumns() {
    const { runs, store } = this.space;
    const { chooseColumns } = await import("./column_dialog.js");
    chooseColumns(runs, this.fields, this.shownColumns(), (columns) => store.set({ columns }, { step: true }));
  }

  /** Change the chosen runs: those with a check mark. */
  async changeRuns() {
    const { runs, store } = this.space;
    const { changeRuns } = await import("./change_dialog.js");
    const shown = runs.shown(store.view);
    const ids = shown.map(({ run_id }) => run_id);
    const done = (/** @type {boolean} */ deleted) => (deleted ? this.space.forget(ids) : void runs.refresh(ids).catch(() => undefined));
    if (shown.length) changeRuns(shown, done);
  }

  /** Return the catalog of fields, made when the service has described those of every run. */
  runCatalog() {
    return (this.catalog ??= new FieldCatalog(runFields()));
  }

  get fields() {
    return this.runCatalog().all;
  }

  shownColumns() {
    const { view } = this.space.store;
    return view.table ? (view.columns ?? this.defaults) : [];
  }

  update() {
    if (!serviceInfoIsLoaded()) return;
    const { store, runs } = this.space;
    const { view } = store;
    this.runCatalog().add(runs.runs);
    if (this.chosenBy !== runs.runs) {
      this.chosenBy = runs.runs;
      this.defaults = defaultColumns(runs.runs);
      this.options();
    }
    if (document.activeElement !== this.search) this.search.value = view.rq;
    this.choose(this.sort, orderOption(view.sort, this.orders));
    this.reverse.textContent = view.sort.startsWith("-") ? "↓" : "↑";
    this.choose(this.group, view.group);
    this.wide.setAttribute("aria-pressed", String(view.table));
    this.compare.setAttribute("aria-pressed", String(!!view.compare));
    this.columns.hidden = !view.table;
    this.csv.hidden = !view.table;
    this.columns.disabled = false;
    const shown = runs.shown(view).length;
    this.change.disabled = !shown;
    this.change.title = `Change, stop or delete the ${count(shown)} chosen runs`;
    const matching = runs.matching(view);
    this.total.textContent = matching.length === runs.total ? count(runs.total) : `${count(matching.length)} of ${count(runs.total)}`;
    this.searchError.hidden = !runs.runSearch.error;
    this.searchError.textContent = runs.runSearch.error;
    this.search.setAttribute("aria-invalid", String(!!runs.runSearch.error));
    this.rows.element.setAttribute("aria-busy", String(runs.runSearch.pending));
    this.failed.hidden = !runs.failed && !this.csvError;
    if (this.csvError) fill(this.failed, `The table could not be downloaded: ${this.csvError} `, h("button", { type: "button", onclick: () => this.downloadCsv() }, "Try again"));
    if (runs.failed) fill(this.failed, `Only the newest ${count(runs.runs.length)} runs are loaded: ${runs.failed} `, h("button", { type: "button", onclick: () => runs.loadRest() }, "Try again"));
    this.rows.show(this.shownColumns());
  }

  options() {
    const { runs } = this.space.runs;
    this.orders = orderOptions(runs);
    offer(this.sort, this.orders);
    offer(this.group, [{ value: "", label: "No groups" }, ...groupOptions(runs, runFields())]);
  }

  /** @param {HTMLSelectElement} select @param {string} value */
  choose(select, value) {
    if (![...select.options].some((option) => option.value === value)) select.append(h("option", { value }, value));
    select.value = value;
  }
}

/**
 * Replace a select's options; without a change, an open select stays as it is.
 * @param {HTMLSelectElement} select
 * @param {import("./run_columns.js").Option[]} options
 */
function offer(select, options) {
  const text = JSON.stringify(options);
  if (select.dataset.options === text) return;
  select.dataset.options = text;
  fill(select, options.map(({ value, label }) => h("option", { value }, label)));
}
