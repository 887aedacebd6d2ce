/** A logged table, read page by page; the service sorts and filters it. */

import { tableRows } from "../api/service.js";
import { debounced, fill, h } from "../ui/dom.js";
import { count, exact, shown as formatValue } from "../ui/format.js";

/** @typedef {import("./media_views.js").View} View */

const ROWS = 25;
const ROWS_LARGE = 100;
const SEARCH_MS = 200;

/** @typedef {import("./media_views.js").Shown} Shown */
/** @typedef {(kind: string, value: any, shown: Shown) => View} MediaView */

/**
 * Show a logged table.
 * @param {any} value the table's reference
 * @param {Shown} shown
 * @param {MediaView} mediaView shows the media in cells; passed in, because media views show tables themselves
 * @returns {View}
 */
export function tableView(value, shown, mediaView) {
  const table = new PagedTable(value.sha256, shown.large ? ROWS_LARGE : ROWS, shown.name, mediaView);
  void table.read();
  return { element: table.element, leave: () => table.leave() };
}

class PagedTable {
  /** @param {string} sha256 @param {number} limit @param {string} name @param {MediaView} mediaView */
  constructor(sha256, limit, name, mediaView) {
    this.mediaView = mediaView;
    this.sha256 = sha256;
    this.limit = limit;
    this.name = name;
    this.offset = 0;
    this.sort = "";
    this.descending = false;
    this.controller = new AbortController();
    /** @type {View[]} */
    this.views = [];
    const search = debounced(() => this.go(0), SEARCH_MS);
    this.search = h("input", { type: "search", placeholder: "Filter rows", "aria-label": `Filter rows of ${name}`, oninput: () => search() });
    this.range = h("span", { class: "muted", role: "status" });
    this.before = h("button", { type: "button", "aria-label": "Previous rows", onclick: () => this.go(this.offset - this.limit) }, "‹");
    this.after = h("button", { type: "button", "aria-label": "Next rows", onclick: () => this.go(this.offset + this.limit) }, "›");
    this.head = h("thead");
    this.body = h("tbody");
    this.scroller = h("div", { class: "table-scroll", tabindex: "0", role: "region", "aria-label": name }, h("table", { class: "logged" }, this.head, this.body));
    this.element = h("div", { class: "paged" }, h("div", { class: "paged-head" }, this.search, this.range, this.before, this.after), this.scroller);
  }

  /** @param {number} offset */
  go(offset) {
    this.offset = Math.max(0, offset);
    void this.read();
  }

  leave() {
    this.controller.abort();
    for (const view of this.views) view.leave();
    this.views = [];
  }

  async read() {
    this.controller.abort();
    const controller = new AbortController();
    this.controller = controller;
    const options = { offset: this.offset, limit: this.limit, sort: this.sort, descending: this.descending, search: this.search.value };
    try {
      const page = await tableRows(this.sha256, options, controller.signal);
      if (!controller.signal.aborted) this.show(page);
    } catch (error) {
      if (controller.signal.aborted) return;
      const retry = h("button", { type: "button", onclick: () => this.read() }, "Try again");
      fill(this.body, h("tr", {}, h("td", { class: "missing" }, /** @type {Error} */ (error).message, retry)));
    }
  }

  /** @param {import("../api/service.js").TablePage} page */
  show({ columns, rows, found, total }) {
    for (const view of this.views) view.leave();
    this.views = [];
    fill(this.head, h("tr", {}, columns.map((column) => this.headCell(column.name))));
    fill(this.body, rows.map((row) => h("tr", {}, row.map((cell, at) => this.cell(cell, columns[at])))));
    const last = Math.min(this.offset + rows.length, found);
    const of = found === total ? count(total) : `${count(found)} found of ${count(total)}`;
    this.range.textContent = found ? `${count(this.offset + 1)}–${count(last)} of ${of}` : `none of ${count(total)}`;
    this.before.disabled = this.offset === 0;
    this.after.disabled = last >= found;
    this.scroller.scrollTop = 0;
  }

  /** @param {string} name */
  headCell(name) {
    const chosen = this.sort === name;
    // A click may come before the rows of the click before it are shown.
    const onclick = () => {
      this.descending = this.sort === name && !this.descending;
      this.sort = name;
      this.go(0);
    };
    const order = !chosen ? "none" : this.descending ? "descending" : "ascending";
    return h("th", { scope: "col", "aria-sort": order }, h("button", { type: "button", class: "sort", onclick }, name, chosen ? (this.descending ? " ↓" : " ↑") : ""));
  }

  /** @param {any} cell @param {{name: string, type: string}} column */
  cell(cell, column) {
    if (cell === null) return h("td", { class: "muted" }, "–");
    if (column.type === "media" && typeof cell === "object") {
      const view = this.mediaView(cell.kind, cell, { name: `${column.name} in ${this.name}`, large: false });
      this.views.push(view);
      return h("td", { class: `cell-${cell.kind}` }, view.element);
    }
    if (typeof cell === "number") return h("td", { class: "number" }, exact(cell));
    const text = formatValue(cell);
    return h("td", { title: text.length > 60 ? text : "" }, text);
  }
}
