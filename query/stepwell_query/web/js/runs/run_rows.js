/** The rows of a list of runs, with columns of config and summary: its head, and the runs and groups in view. */

import { emphasizeHovered } from "../charts/emphasis.js";
import { colorDot } from "../ui/swatches.js";
import { shownColor } from "../ui/theme.js";
import { fill, h } from "../ui/dom.js";
import { runFields, serviceInfoIsLoaded } from "../api/service_info.js";
import { cell, differenceNote, divergenceMark, isNumeric, pinButton, runLink, stateDot, tagList } from "./run_cells.js";
import { columnHead } from "./run_columns.js";
import { groupRuns, readField } from "./run_fields.js";
import { count } from "../ui/format.js";

/** @typedef {import("../types.js").Run} Run */
/** @typedef {{run: Run | null, group: string, members: Run[]}} Row a run, or the heading of a group */

const ROW = 33;
const MARGIN_ROWS = 8;
/** Rows that decide how a column is aligned. */
const SAMPLE = 50;

export class RunRows {
  /** @param {import("./runs_model.js").RunsModel} runs @param {import("../state/view_state.js").Store} store */
  constructor(runs, store) {
    this.runs = runs;
    this.store = store;
    this.head = h("thead");
    this.body = h("tbody");
    this.table = h("table", { class: "runs-table", "aria-label": "Runs" }, this.head, this.body);
    this.element = h("div", { class: "runs-scroll", tabindex: "0", role: "region", "aria-label": "List of runs" }, this.table);
    /** @type {Row[]} */
    this.rows = [];
    /** @type {string[]} */
    this.columns = [];
    /** @type {Set<string>} ids of the drawn runs */
    this.chosen = new Set();
    emphasizeHovered(this.body);
    this.element.addEventListener("scroll", () => this.renderRows(), { passive: true });
    this.sizes = new ResizeObserver(() => this.renderRows());
    this.sizes.observe(this.element);
  }

  /** Show the runs that the view's search finds, in its groups. @param {string[]} columns */
  show(columns) {
    const { runs } = this;
    const { view } = this.store;
    const matching = runs.matching(view);
    this.columns = columns;
    this.rows = view.group
      ? groupRuns(matching, view.group).flatMap(({ name, runs: members }) => [
          { run: null, group: name, members },
          ...members.map((run) => ({ run, group: name, members: [] })),
        ])
      : matching.map((run) => ({ run, group: "", members: [] }));
    this.chosen = new Set(runs.shown(view).map((run) => run.run_id));
    this.diverged = runs.diverged(view);
    this.base = runs.byId.get(view.base);
    this.renderHead();
    this.renderRows();
  }

  renderHead() {
    const { store } = this;
    const all = h("input", {
      type: "checkbox",
      "aria-label": "Show all runs of the list",
      title: "Show all runs of the list, or none",
      onchange: () => store.set({ show: all.checked ? this.rows.flatMap(({ run }) => (run ? [run.run_id] : [])) : [] }, { step: true }),
    });
    const ids = this.rows.flatMap(({ run }) => (run ? [run.run_id] : []));
    const shown = ids.filter((id) => this.chosen.has(id)).length;
    all.disabled = !ids.length;
    all.checked = shown > 0 && shown === ids.length;
    all.indeterminate = shown > 0 && shown < ids.length;
    const { columns } = this;
    const heads = ["name", ...columns].map((field, at) => this.headCell(field, columns, at === 0));
    fill(this.head, h("tr", {}, h("th", { scope: "col", class: "show" }, all), ...heads));
  }

  /** @param {string} field @param {string[]} columns @param {boolean} first */
  headCell(field, columns, first) {
    const { store } = this;
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
    const from = Math.max(0, Math.floor(this.element.scrollTop / ROW) - MARGIN_ROWS);
    const to = Math.min(this.rows.length, Math.ceil((this.element.scrollTop + this.element.clientHeight) / ROW) + MARGIN_ROWS);
    const { columns } = this;
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
    const { store } = this;
    const now = Date.now();
    const on = !!this.chosen.has(run.run_id);
    const check = h("input", { type: "checkbox", "data-id": `show ${run.run_id}`, "aria-label": `Show ${run.name}`, onchange: () => this.toggle([run.run_id], check.checked) });
    check.checked = on;
    const color = this.color(run.run_id, run.name, this.runs.color(run, store.view));
    return h(
      "tr",
      { class: on ? "on" : "off", "data-owner": group || run.run_id },
      h("td", { class: "show" }, check),
      h("th", { scope: "row", class: "run-name" }, h("span", { class: "run-line" }, color, stateDot(run.state), runLink(run), divergenceMark(this.diverged?.get(run.run_id)), columns.length ? null : tagList(run.tags), pinButton(run, store))),
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
    const { store } = this;
    const ids = members.map((run) => run.run_id);
    const check = h("input", { type: "checkbox", "data-id": `group ${group}`, "aria-label": `Show group ${group}`, onchange: () => this.toggle(ids, check.checked) });
    const on = ids.filter((id) => this.chosen.has(id)).length;
    check.checked = on === ids.length;
    check.indeterminate = on > 0 && on < ids.length;
    const color = this.color(group, `group ${group}`, this.runs.groupColor(group, store.view));
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
    const { store } = this;
    const onChoose = (/** @type {string | null} */ color) => {
      const { [id]: _, ...others } = store.view.colors;
      store.set({ colors: color ? { ...others, [id]: color } : others }, { step: true });
    };
    return colorDot(label, shownColor(value), onChoose, { "data-id": `color ${id}` });
  }

  /** @param {string[]} ids @param {boolean} on */
  toggle(ids, on) {
    const chosen = new Set(this.store.view.show ?? this.chosen);
    for (const id of ids) if (on) chosen.add(id); else chosen.delete(id);
    this.store.set({ show: [...chosen] }, { step: true });
  }
}

/** @param {number} rows @param {number} columns */
function spacer(rows, columns) {
  if (rows <= 0) return null;
  const cell = h("td", { colspan: columns + 2 });
  cell.style.height = `${rows * ROW}px`;
  return h("tr", { class: "spacer-row", "aria-hidden": "true" }, cell);
}
