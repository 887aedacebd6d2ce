/** The shown runs side by side: last values, config and metadata, and what differs from a pinned baseline. */

import { run as readRun } from "../api/service.js";
import { runFields } from "../api/service_info.js";
import { copyButton } from "../ui/clipboard.js";
import { debounced, fill, h, iconButton } from "../ui/dom.js";
import { count } from "../ui/format.js";
import { href } from "../ui/header.js";
import { patternSearch } from "../ui/pattern_search.js";
import { loadStyle } from "../ui/style_sheet.js";
import { textMatcher } from "../ui/text_match.js";
import { shownColor } from "../ui/theme.js";
import { compareRuns, comparedRuns, valueKey } from "./comparison.js";
import { comparisonMarkdown } from "./comparison_markdown.js";
import { DIVERGED, findDiverged } from "./divergence.js";
import { cell, cutName, differenceNote, divergenceMark, isNumeric, pinButton, stateDot } from "./run_cells.js";
import { fieldKey } from "./run_columns.js";

/** @typedef {import("../types.js").Run} Run */
/** @typedef {import("./comparison.js").CompareRow} CompareRow */
/** @typedef {import("../pages/workspace.js").Workspace} Workspace */

/** Runs that are compared; of more, the first ones of the list. */
const RUNS_MAX = 50;
/** Cells and rows that are shown; the search finds the other rows. */
const CELLS_MAX = 6_000;
const ROWS_MIN = 50;
const ROWS_MAX = 500;
const SEARCH_MS = 150;

export class CompareView {
  /** @param {Workspace} space */
  constructor(space) {
    this.space = space;
    const { store } = space;
    void loadStyle("extras.css");
    /** @type {Map<string, {run: Run, offset: number}>} whole documents of runs of which the list has parts, by id */
    this.documents = new Map();
    /** @type {Set<string>} ids of the runs that are being read */
    this.reading = new Set();
    this.failed = "";
    this.shown = "";
    /** @type {Run[]} */
    this.runs = [];
    /** @type {Map<string, import("./divergence.js").Divergence[]>} */
    this.diverged = new Map();
    const search = debounced((/** @type {string} */ cq) => store.set({ cq }), SEARCH_MS);
    this.pattern = patternSearch({ placeholder: "Search rows (regex)", "aria-label": "Search rows of the comparison" }, search);
    this.only = h("button", { type: "button", "aria-pressed": "true", onclick: () => store.set({ compare: store.view.compare === "diff" ? "all" : "diff" }, { step: true }) }, "Only differences");
    this.order = h("button", { type: "button", "aria-pressed": "false", onclick: () => store.set({ sort: store.view.sort === DIVERGED ? "-created_at" : DIVERGED }, { step: true }) }, "Diverged first");
    this.facts = h("div", { class: "compare-facts", role: "status" });
    this.note = h("p", { class: "muted compare-note", role: "status" });
    this.head = h("thead");
    this.body = h("tbody");
    const table = h("table", { class: "compare-table", "aria-label": "Comparison of runs" }, this.head, this.body);
    this.scroller = h("div", { class: "compare-scroll", tabindex: "0", role: "region", "aria-label": "Compared runs" }, table);
    this.element = h(
      "section",
      { class: "comparison", "aria-label": "Comparison" },
      h(
        "div",
        { class: "compare-bar", role: "toolbar", "aria-label": "Comparison" },
        this.pattern.element,
        this.only,
        this.order,
        h("span", { class: "spacer" }),
        copyButton("Copy as Markdown", () => this.toMarkdown()),
        copyButton("Copy link", () => location.href),
        iconButton("close", "Back to the charts", () => store.set({ compare: "" }, { step: true })),
      ),
      this.facts,
      this.note,
      this.scroller,
    );
  }

  update() {
    const { runs, store } = this.space;
    const { view } = store;
    const chosen = comparedRuns(this.space.shownRuns(), runs.byId.get(view.base));
    const listed = chosen.slice(0, RUNS_MAX);
    this.readWhole(listed);
    const compared = listed.map((run) => this.whole(run));
    if (document.activeElement !== this.pattern.input) this.pattern.input.value = view.cq;
    this.pattern.check();
    this.only.setAttribute("aria-pressed", String(view.compare === "diff"));
    this.order.setAttribute("aria-pressed", String(view.sort === DIVERGED));
    const shown = JSON.stringify([view.compare, view.base, view.cq, view.sort, view.colors, this.failed, chosen.length, compared.map((run) => [run.run_id, run.partial, this.documents.get(run.run_id)?.offset, run.complete_to.offset, run.state, run.name, run.tags, run.notes, shownColor(runs.color(run, view))])]);
    if (shown === this.shown) return;
    this.shown = shown;
    this.runs = compared;
    this.diverged = findDiverged(compared);
    this.render(chosen.length);
  }

  /** Return a run with its whole config and summary, as far as they have been read. @param {Run} run */
  whole(run) {
    const known = run.partial ? this.documents.get(run.run_id)?.run : undefined;
    return known ? { ...run, config: known.config, summary: known.summary, partial: known.partial } : run;
  }

  /** Read the documents of runs of which the list has only parts. @param {Run[]} runs */
  readWhole(runs) {
    for (const run of runs) {
      const known = this.documents.get(run.run_id);
      if (!run.partial || this.reading.has(run.run_id) || (known && known.offset >= run.complete_to.offset)) continue;
      this.reading.add(run.run_id);
      void this.readOne(run);
    }
  }

  /** @param {Run} listed */
  async readOne(listed) {
    try {
      const run = await readRun(listed.entity, listed.project, listed.run_id);
      this.documents.set(run.run_id, { run, offset: Math.max(run.complete_to.offset, listed.complete_to.offset) });
      this.failed = "";
    } catch (error) {
      // Not requested again until the run changes, or the button is pressed.
      this.documents.set(listed.run_id, { run: listed, offset: listed.complete_to.offset });
      this.failed = /** @type {Error} */ (error).message;
    }
    this.reading.delete(listed.run_id);
    if (!this.reading.size) this.update();
  }

  retry() {
    this.failed = "";
    this.documents.clear();
    this.update();
  }

  /** Return the sections that the view shows. */
  sections() {
    const { compare, cq } = this.space.store.view;
    const matches = textMatcher(cq);
    const isShown = (/** @type {CompareRow} */ row) => (compare === "all" || row.differs || this.runs.length < 2) && (matches(row.label) || matches(row.field));
    return compareRuns(this.runs, runFields()).map((section) => ({ ...section, rows: section.rows.filter(isShown), total: section.rows.length })).filter(({ rows }) => rows.length);
  }

  /** @param {number} chosen number of runs that were to be compared */
  render(chosen) {
    const focused = document.activeElement instanceof HTMLElement && this.scroller.contains(document.activeElement) ? document.activeElement.dataset.id : undefined;
    const sections = this.sections();
    let left = Math.max(ROWS_MIN, Math.min(ROWS_MAX, Math.floor(CELLS_MAX / Math.max(1, this.runs.length))));
    const total = sections.reduce((sum, { rows }) => sum + rows.length, 0);
    const rest = Math.max(0, total - left);
    fill(this.head, h("tr", {}, h("td", {}), this.runs.map((run) => this.headCell(run))));
    fill(
      this.body,
      sections.flatMap(({ name, rows }) => {
        const some = rows.slice(0, left);
        left -= some.length;
        return some.length ? [h("tr", { class: "compare-section" }, h("th", { scope: "rowgroup" }, name), h("td", { colspan: Math.max(1, this.runs.length) })), ...some.map((row) => this.row(row))] : [];
      }),
    );
    this.showFacts();
    this.showNote(chosen, total, rest);
    if (focused) /** @type {HTMLElement | null} */ (this.scroller.querySelector(`[data-id="${CSS.escape(focused)}"]`))?.focus();
  }

  /** Say which runs diverged. */
  showFacts() {
    const { store } = this.space;
    const found = this.runs.filter((run) => this.diverged.has(run.run_id));
    const ids = found.map((run) => run.run_id);
    this.facts.hidden = this.runs.length < 2;
    if (!found.length) {
      fill(this.facts, `${count(this.runs.length)} runs, none of which diverged.`);
      return;
    }
    const rest = this.runs.map((run) => run.run_id).filter((id) => !ids.includes(id));
    fill(
      this.facts,
      h("strong", {}, `${count(found.length)} of ${count(this.runs.length)} runs diverged:`),
      found.map((run) => h("span", { class: "diverged-run", "data-run": run.run_id }, divergenceMark(this.diverged.get(run.run_id)), h("a", { href: href(run.entity, run.project, run.run_id) }, run.name), h("span", { class: "muted" }, fieldKey(this.diverged.get(run.run_id)?.[0].field ?? "")))),
      h("button", { type: "button", onclick: () => store.set({ show: ids }, { step: true }) }, "Show only these"),
      rest.length ? h("button", { type: "button", onclick: () => store.set({ show: rest }, { step: true }) }, "Hide these") : null,
    );
  }

  /** @param {number} chosen @param {number} total rows @param {number} rest rows that are not shown */
  showNote(chosen, total, rest) {
    const { view } = this.space.store;
    const notes = [
      !this.runs.length ? "No runs are shown: select runs in the list." : "",
      this.runs.length === 1 ? "Select more runs in the list to compare them." : "",
      chosen > this.runs.length ? `The first ${count(this.runs.length)} of ${count(chosen)} shown runs.` : "",
      this.runs.length && !total ? (view.cq ? "No row matches the search." : "These runs do not differ.") : "",
      rest ? `${count(rest)} more rows: search for them.` : "",
      !view.base && this.runs.length > 1 ? "Pin a run as the baseline to see the differences from it." : "",
    ];
    fill(this.note, notes.filter(Boolean).join(" "), this.failed ? [` Parts of some runs could not be read: ${this.failed} `, h("button", { type: "button", onclick: () => this.retry() }, "Try again")] : []);
    this.note.hidden = !this.note.textContent;
  }

  /** @param {Run} run */
  headCell(run) {
    const { runs, store } = this.space;
    const swatch = h("span", { class: "swatch" });
    swatch.style.background = shownColor(runs.color(run, store.view));
    const isBase = store.view.base === run.run_id;
    const hide = () => store.set({ show: this.space.shownRuns().map(({ run_id }) => run_id).filter((id) => id !== run.run_id), ...(isBase ? { base: "" } : {}) }, { step: true });
    return h(
      "th",
      { scope: "col", class: isBase ? "base" : "", "data-owner": run.run_id },
      h("div", { class: "compare-head" }, swatch, stateDot(run.state), h("a", { class: "cut-name", href: href(run.entity, run.project, run.run_id), title: `${run.name} (${run.run_id})` }, cutName(run.name))),
      h("div", { class: "compare-head" }, isBase ? h("span", { class: "tag" }, "baseline") : null, divergenceMark(this.diverged.get(run.run_id)), h("span", { class: "spacer" }), pinButton(run, store), iconButton("close", `Take ${run.name} out of the comparison`, hide)),
    );
  }

  /** @param {CompareRow} row */
  row({ field, label, values, differs }) {
    const { store } = this.space;
    const { sort, base } = store.view;
    const mark = sort === field ? " ↑" : sort === `-${field}` ? " ↓" : "";
    const onclick = () => store.set({ sort: sort === field ? `-${field}` : field }, { step: true });
    const name = h("button", { type: "button", class: "sort", title: `${field}: order the runs by it`, "data-id": `row ${field}`, onclick }, label, mark);
    const isBased = base !== "" && this.runs[0]?.run_id === base;
    const own = valueKey(values[0]);
    const isConfig = field.startsWith("config.");
    return h(
      "tr",
      { class: differs ? "differs" : "", "data-field": field },
      h("th", { scope: "row" }, name),
      this.runs.map((run, at) => {
        const value = values[at];
        const isOther = isBased && at > 0;
        const isBad = this.diverged.get(run.run_id)?.some((one) => one.field === field);
        const classes = [isNumeric(value) ? "number" : "", isOther && isConfig && valueKey(value) !== own ? "changed" : "", isBad ? "bad" : ""].filter(Boolean).join(" ");
        const text = value === undefined ? h("span", { class: "muted" }, "–") : value === null ? h("span", { class: "muted" }, "null") : cell(run, field, Date.now());
        return h("td", { class: classes }, text, isOther && /^(config|summary)\./.test(field) ? differenceNote(value, values[0]) : null);
      }),
    );
  }

  toMarkdown() {
    return comparisonMarkdown(this.runs, this.sections(), { base: this.space.store.view.base, address: location.href, href: (run) => location.origin + href(run.entity, run.project, run.run_id) });
  }
}
