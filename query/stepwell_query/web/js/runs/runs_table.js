/** The runs: a narrow list next to the charts, or a table with columns of config and summary. */

import { emphasizeHovered } from "../charts/emphasis.js";
import { colorDot } from "../ui/swatches.js";
import { shownColor } from "../ui/theme.js";
import { debounced, fill, h, iconButton } from "../ui/dom.js";
import { runFields, serviceInfoIsLoaded } from "../api/service_info.js";
import { resizer } from "../ui/resizer.js";
import { searchable } from "../ui/searchable.js";
import { cell, differenceNote, divergenceMark, isNumeric, pinButton, runLink, stateDot, tagList } from "./run_cells.js";
import { columnHead, defaultColumns, groupOptions, orderOption, orderOptions, reverseOrder } from "./run_columns.js";
import { FieldCatalog, groupRuns, readField } from "./run_fields.js";
import { count } from "../ui/format.js";

/** @typedef {import("../types.js").Run} Run */
/** @typedef {import("../pages/workspace.js").Workspace} Workspace */
/** @typedef {{run: Run | null, group: string, members: Run[]}} Row a run, or the heading of a group */

const ROW = 33;
const MARGIN_ROWS = 8;
const SEARCH_MS = 150;
/** Rows that decide how a column is aligned. */
const SAMPLE = 50;
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
    this.csv = iconButton("download", "Download the table as CSV", () => this.downloadCsv());
    this.csvError = "";
    this.change = h("button", { type: "button", onclick: () => this.changeRuns() }, "Edit");
    this.head = h("thead");
    this.body = h("tbody");
    this.table = h("table", { class: "runs-table", "aria-label": "Runs" }, this.head, this.body);
    this.scroller = h("div", { class: "runs-scroll", tabindex: "0", role: "region", "aria-label": "List of runs" }, this.table);
    this.element = h(
      "aside",
      { class: "runs", "aria-label": "Runs" },
      h("div", { class: "runs-head" }, h("h2", {}, "Runs"), this.total, h("span", { class: "spacer" }), this.change, this.csv, this.columns, this.compare, this.wide),
      this.search,
      this.searchError,
      h("div", { class: "runs-controls" }, searchable(this.sort), this.reverse, searchable(this.group)),
      this.failed,
      this.scroller,
    );
    const apply = (/** @type {number} */ width) => document.documentElement.style.setProperty("--runs-width", `${width}px`);
    this.element.append(resizer({ key: "stepwell-runs-width", label: "Width of the list of runs", initial: WIDTH, low: WIDTH_MIN, apply }));
    /** @type {Row[]} */
    this.rows = [];
    /** @type {FieldCatalog | null} */
    this.catalog = null;
    emphasizeHovered(this.body);
    /** @type {Run[] | null} the runs by which columns and options were chosen */
    this.chosenBy = null;
    /** @type {string[]} */
    this.defaults = [];
    /** @type {import("./run_columns.js").Option[]} */
    this.orders = [];
    this.scroller.addEventListener("scroll", () => this.renderRows(), { passive: true });
    this.sizes = new ResizeObserver(() => this.renderRows());
    this.sizes.observe(this.scroller);
  }

  /** Compare the shown runs, or show the charts again. The address names the runs: newer ones do not replace them. */
  compareShown() {
    const { runs, store } = this.space;
    const { view } = store;
    const show = view.show ?? runs.shown(view).map((run) => run.run_id);
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
    this.diverged = runs.diverged(view);
    this.base = runs.byId.get(view.base);
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
    this.scroller.setAttribute("aria-busy", String(runs.runSearch.pending));
    this.failed.hidden = !runs.failed && !this.csvError;
    if (this.csvError) fill(this.failed, `The table could not be downloaded: ${this.csvError} `, h("button", { type: "button", onclick: () => this.downloadCsv() }, "Try again"));
    if (runs.failed) fill(this.failed, `Only the newest ${count(runs.runs.length)} runs are loaded: ${runs.failed} `, h("button", { type: "button", onclick: () => runs.loadRest() }, "Try again"));
    this.rows = view.group
      ? groupRuns(matching, view.group).flatMap(({ name, runs: members }) => [
          { run: null, group: name, members },
          ...members.map((run) => ({ run, group: name, members: [] })),
        ])
      : matching.map((run) => ({ run, group: "", members: [] }));
    this.chosen = new Set(runs.shown(view).map((run) => run.run_id));
    this.renderHead();
    this.renderRows();
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

  renderHead() {
    const { store } = this.space;
    const all = h("input", {
      type: "checkbox",
      "aria-label": "Show all runs of the list",
      title: "Show all runs of the list, or none",
      onchange: () => store.set({ show: all.checked ? this.rows.flatMap(({ run }) => (run ? [run.run_id] : [])) : [] }, { step: true }),
    });
    const ids = this.rows.flatMap(({ run }) => (run ? [run.run_id] : []));
    const shown = ids.filter((id) => this.chosen?.has(id)).length;
    all.checked = shown > 0 && shown === ids.length;
    all.indeterminate = shown > 0 && shown < ids.length;
    const columns = this.shownColumns();
    const heads = ["name", ...columns].map((field, at) => this.headCell(field, columns, at === 0));
    fill(this.head, h("tr", {}, h("th", { scope: "col", class: "show" }, all), ...heads));
  }

  /** @param {string} field @param {string[]} columns @param {boolean} first */
  headCell(field, columns, first) {
    const { store } = this.space;
    const down = store.view.sort === `-${field}`;
    const up = store.view.sort === field;
    const onclick = () => store.set({ sort: store.view.sort === field ? `-${field}` : field }, { step: true });
    const label = columnHead(field, columns, runFields());
    const button = h("button", { type: "button", class: "sort", title: field, onclick }, label, up ? " ↑" : down ? " ↓" : "");
    const numeric = !first && this.rows.slice(0, SAMPLE).some(({ run }) => run && isNumeric(readField(run, field)));
    return h("th", { scope: "col", class: first ? "run-name" : numeric ? "number" : "", "aria-sort": up ? "ascending" : down ? "descending" : "none" }, button);
  }

  renderRows() {
    // The observer of sizes calls before the service has described the fields.
    if (!serviceInfoIsLoaded()) return;
    const from = Math.max(0, Math.floor(this.scroller.scrollTop / ROW) - MARGIN_ROWS);
    const to = Math.min(this.rows.length, Math.ceil((this.scroller.scrollTop + this.scroller.clientHeight) / ROW) + MARGIN_ROWS);
    const columns = this.shownColumns();
    const focused = document.activeElement instanceof HTMLElement && this.body.contains(document.activeElement) ? document.activeElement.dataset.id : undefined;
    this.table.setAttribute("aria-rowcount", String(this.rows.length + 1));
    fill(
      this.body,
      spacer(from, columns.length),
      this.rows.slice(from, to).map((row, at) => {
        const element = row.run ? this.runRow(row.run, row.group, columns) : this.groupRow(row, columns);
        element.setAttribute("aria-rowindex", String(from + at + 2));
        return element;
      }),
      spacer(this.rows.length - to, columns.length),
    );
    if (focused) /** @type {HTMLElement | null} */ (this.body.querySelector(`[data-id="${CSS.escape(focused)}"]`))?.focus();
  }

  /** @param {Run} run @param {string} group @param {string[]} columns */
  runRow(run, group, columns) {
    const { space } = this;
    const now = Date.now();
    const on = !!this.chosen?.has(run.run_id);
    const check = h("input", { type: "checkbox", "data-id": `show ${run.run_id}`, "aria-label": `Show ${run.name}`, onchange: () => this.toggle([run.run_id], check.checked) });
    check.checked = on;
    const color = this.color(run.run_id, run.name, space.runs.color(run, space.store.view));
    return h(
      "tr",
      { class: on ? "on" : "off", "data-owner": group || run.run_id },
      h("td", { class: "show" }, check),
      h("th", { scope: "row", class: "run-name" }, h("span", { class: "run-line" }, color, stateDot(run.state), runLink(run), divergenceMark(this.diverged?.get(run.run_id)), columns.length ? null : tagList(run.tags), pinButton(run, space.store))),
      columns.map((field) => this.cell(run, field, now)),
    );
  }

  /** @param {Run} run @param {string} field @param {number} now */
  cell(run, field, now) {
    const value = readField(run, field);
    const { base } = this;
    const isMeasured = base && base !== run && /^(config|summary)\./.test(field);
    return h("td", { class: isNumeric(value) ? "number" : "" }, cell(run, field, now), isMeasured ? differenceNote(value, readField(base, field)) : null);
  }

  /** @param {Row} row @param {string[]} columns */
  groupRow({ group, members }, columns) {
    const { store } = this.space;
    const ids = members.map((run) => run.run_id);
    const check = h("input", { type: "checkbox", "data-id": `group ${group}`, "aria-label": `Show group ${group}`, onchange: () => this.toggle(ids, check.checked) });
    const on = ids.filter((id) => this.chosen?.has(id)).length;
    check.checked = on === ids.length;
    check.indeterminate = on > 0 && on < ids.length;
    const color = this.color(group, `group ${group}`, this.space.runs.groupColor(group, store.view));
    return h(
      "tr",
      { class: "group-row", "data-owner": group },
      h("td", { class: "show" }, check),
      h("th", { scope: "rowgroup", colspan: columns.length + 1 }, h("span", { class: "run-line" }, color, h("span", { title: group }, group), h("span", { class: "muted" }, count(members.length)))),
    );
  }

  /**
   * Build a dot in which another colour can be chosen.
   * @param {string} id of a run, or name of a group
   * @param {string} label
   * @param {string} value
   */
  color(id, label, value) {
    const { store } = this.space;
    const onChoose = (/** @type {string | null} */ color) => {
      const { [id]: _, ...others } = store.view.colors;
      store.set({ colors: color ? { ...others, [id]: color } : others }, { step: true });
    };
    return colorDot(label, shownColor(value), onChoose, { "data-id": `color ${id}` });
  }

  /** @param {string[]} ids @param {boolean} on */
  toggle(ids, on) {
    const chosen = new Set(this.space.store.view.show ?? this.chosen);
    for (const id of ids) if (on) chosen.add(id); else chosen.delete(id);
    this.space.store.set({ show: [...chosen] }, { step: true });
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

/** @param {number} rows @param {number} columns */
function spacer(rows, columns) {
  if (rows <= 0) return null;
  const cell = h("td", { colspan: columns + 2 });
  cell.style.height = `${rows * ROW}px`;
  return h("tr", { class: "spacer-row", "aria-hidden": "true" }, cell);
}
