/** The dialog to choose columns. It lists a limited number; the search, which the service does too, finds the others. */

import { limits } from "../api/service_info.js";
import { runColumns } from "../api/service.js";
import { debounced, fill, h, iconButton } from "../ui/dom.js";
import { count } from "../ui/format.js";
import { patternSearch } from "../ui/pattern_search.js";
import { textMatcher } from "../ui/text_match.js";
import { literalWords } from "./extra_columns.js";

const SEARCH_MS = 150;

/** @typedef {{entity: string, project: string}} Project */

class ColumnChoice {
  /**
   * @param {Project} project
   * @param {string[]} fields those of the loaded runs
   * @param {string[]} chosen
   * @param {(columns: string[]) => void} choose
   */
  constructor(project, fields, chosen, choose) {
    this.project = project;
    this.limit = limits().columns;
    /** All fields that are known so far. */
    this.fields = [...new Set([...fields, ...chosen])];
    this.own = fields.filter((field) => !/^(config|summary)\./.test(field)).length;
    this.picked = new Set(chosen);
    this.choose = choose;
    /** Number of columns that the service has found; null before its first response. */
    this.total = /** @type {number | null} */ (null);
    this.failed = "";
    this.controller = new AbortController();
    const searchService = debounced(() => this.searchService(), SEARCH_MS);
    this.pattern = patternSearch({ placeholder: "Search columns (regex)", "aria-label": "Search columns" }, () => (this.show(), searchService()));
    this.search = this.pattern.input;
    this.list = h("ul", { class: "column-list" });
    this.note = h("p", { class: "muted", role: "status" });
    this.dialog = h("dialog", { class: "dialog", "aria-label": "Choose columns" });
    fill(
      this.dialog,
      h("div", { class: "dialog-head" }, h("h2", {}, "Columns"), iconButton("close", "Close", () => this.dialog.close())),
      this.pattern.element,
      this.note,
      this.list,
      h("div", { class: "dialog-foot" }, h("button", { type: "button", onclick: () => this.none() }, "None"), h("button", { type: "button", class: "primary", onclick: () => this.done() }, "Show these")),
    );
    this.dialog.addEventListener("close", () => {
      this.controller.abort();
      this.dialog.remove();
    });
  }

  open() {
    document.body.append(this.dialog);
    this.show();
    this.dialog.showModal();
    void this.searchService();
  }

  /** Search among the columns of all runs. */
  async searchService() {
    this.controller.abort();
    const controller = new AbortController();
    this.controller = controller;
    const words = literalWords(this.search.value);
    try {
      const { total, columns } = await runColumns(this.project.entity, this.project.project, { search: words, limit: this.limit }, controller.signal);
      this.total = total;
      this.failed = "";
      this.fields = [...new Set([...this.fields, ...columns.map(({ source, key }) => `${source}.${key}`)])];
    } catch (error) {
      if (controller.signal.aborted) return;
      this.failed = /** @type {Error} */ (error).message;
    }
    this.show();
  }

  show() {
    const matching = this.fields.filter(textMatcher(this.search.value));
    const first = [...matching.filter((field) => this.picked.has(field)), ...matching.filter((field) => !this.picked.has(field))].slice(0, this.limit);
    fill(this.list, first.map((field) => h("li", {}, h("label", {}, this.box(field), h("span", {}, field)))));
    // The service searches for the words of an expression: of more columns than it returns, some may match unseen.
    const unseen = this.total !== null && this.total > this.limit ? this.total + (this.search.value ? 0 : this.own) - first.length : 0;
    this.showNote(Math.max(matching.length - first.length, unseen));
  }

  /** @param {number} rest number of columns that are not listed */
  showNote(rest) {
    const limit = this.picked.size >= this.limit ? ` A table shows ${this.limit} columns at most.` : "";
    const more = rest > 0 ? ` ${count(rest)} more: search for them.` : "";
    const failed = this.failed ? ` Only columns of the loaded runs are searched: ${this.failed}` : "";
    this.note.textContent = `${count(this.picked.size)} chosen.${limit}${more}${failed}`;
    this.rest = rest;
  }

  /** @param {string} field */
  box(field) {
    const input = h("input", { type: "checkbox" });
    input.checked = this.picked.has(field);
    input.addEventListener("change", () => {
      if (!input.checked) this.picked.delete(field);
      else if (this.picked.size < this.limit) this.picked.add(field);
      else input.checked = false;
      this.showNote(this.rest ?? 0);
    });
    return input;
  }

  none() {
    this.picked.clear();
    this.show();
  }

  done() {
    this.choose(this.fields.filter((field) => this.picked.has(field)));
    this.dialog.close();
  }
}

/**
 * Open the dialog.
 * @param {Project} project
 * @param {string[]} fields
 * @param {string[]} chosen
 * @param {(columns: string[]) => void} choose
 */
export function chooseColumns(project, fields, chosen, choose) {
  new ColumnChoice(project, fields, chosen, choose).open();
}
