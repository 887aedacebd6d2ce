/** The dialog in which columns are chosen: 500 are offered at once, the search finds the rest, also by the service. */

import { runColumns } from "../api/service.js";
import { debounced, fill, h, iconButton } from "../ui/dom.js";
import { COLUMNS_MAX } from "./run_fields.js";
import { count } from "../ui/format.js";
import { textMatcher } from "../ui/text_match.js";
import { literalWords } from "./extra_columns.js";

const SEARCH_MS = 150;

/** @typedef {{entity: string, project: string}} Project */

class ColumnChoice {
  /**
   * @param {Project} of
   * @param {string[]} fields those of the runs that are loaded
   * @param {string[]} chosen
   * @param {(columns: string[]) => void} choose
   */
  constructor(of, fields, chosen, choose) {
    this.of = of;
    /** All that is known by now. */
    this.fields = [...new Set([...fields, ...chosen])];
    this.own = fields.filter((field) => !/^(config|summary)\./.test(field)).length;
    this.picked = new Set(chosen);
    this.choose = choose;
    /** How many columns the service has found for what is searched for; null until it has said so. */
    this.total = /** @type {number | null} */ (null);
    this.failed = "";
    this.asked = new AbortController();
    const ask = debounced(() => this.ask(), SEARCH_MS);
    this.search = h("input", { type: "search", placeholder: "Search columns (regex)", "aria-label": "Search columns", oninput: () => (this.show(), ask()) });
    this.list = h("ul", { class: "column-list" });
    this.note = h("p", { class: "muted", role: "status" });
    this.dialog = h("dialog", { class: "dialog", "aria-label": "Choose columns" });
    fill(
      this.dialog,
      h("div", { class: "dialog-head" }, h("h2", {}, "Columns"), iconButton("close", "Close", () => this.dialog.close())),
      this.search,
      this.note,
      this.list,
      h("div", { class: "dialog-foot" }, h("button", { type: "button", onclick: () => this.none() }, "None"), h("button", { type: "button", class: "primary", onclick: () => this.done() }, "Show these")),
    );
    this.dialog.addEventListener("close", () => {
      this.asked.abort();
      this.dialog.remove();
    });
  }

  open() {
    document.body.append(this.dialog);
    this.show();
    this.dialog.showModal();
    void this.ask();
  }

  /** Ask the service what lies beyond the columns that came with the runs. */
  async ask() {
    this.asked.abort();
    const asked = new AbortController();
    this.asked = asked;
    const words = literalWords(this.search.value);
    try {
      const found = await runColumns(this.of.entity, this.of.project, { search: words, limit: COLUMNS_MAX }, asked.signal);
      this.total = found.total;
      this.failed = "";
      this.fields = [...new Set([...this.fields, ...found.columns.map(({ source, key }) => `${source}.${key}`)])];
    } catch (error) {
      if (asked.signal.aborted) return;
      this.failed = /** @type {Error} */ (error).message;
    }
    this.show();
  }

  show() {
    const found = this.fields.filter(textMatcher(this.search.value));
    const first = [...found.filter((field) => this.picked.has(field)), ...found.filter((field) => !this.picked.has(field))].slice(0, COLUMNS_MAX);
    fill(this.list, first.map((field) => h("li", {}, h("label", {}, this.box(field), h("span", {}, field)))));
    // An expression is searched for in what the service found by its words: of more than it gave, some are not seen.
    const unseen = this.total !== null && this.total > COLUMNS_MAX ? this.total + (this.search.value ? 0 : this.own) - first.length : 0;
    this.say(Math.max(found.length - first.length, unseen));
  }

  /** @param {number} rest */
  say(rest) {
    const limit = this.picked.size >= COLUMNS_MAX ? ` A table shows ${COLUMNS_MAX} at most.` : "";
    const more = rest > 0 ? ` ${count(rest)} more: search for them.` : "";
    const failed = this.failed ? ` Only the columns of the loaded runs are searched: ${this.failed}` : "";
    this.note.textContent = `${count(this.picked.size)} chosen.${limit}${more}${failed}`;
    this.rest = rest;
  }

  /** @param {string} field */
  box(field) {
    const input = h("input", { type: "checkbox" });
    input.checked = this.picked.has(field);
    input.addEventListener("change", () => {
      if (!input.checked) this.picked.delete(field);
      else if (this.picked.size < COLUMNS_MAX) this.picked.add(field);
      else input.checked = false;
      this.say(this.rest ?? 0);
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
 * Let a person choose columns.
 * @param {Project} of
 * @param {string[]} fields
 * @param {string[]} chosen
 * @param {(columns: string[]) => void} choose
 */
export function chooseColumns(of, fields, chosen, choose) {
  new ColumnChoice(of, fields, chosen, choose).open();
}
