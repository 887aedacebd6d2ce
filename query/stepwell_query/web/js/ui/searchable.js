/** Long selects open as lists with a search. The select itself remains, with its label and its value. */

import { fill, h } from "./dom.js";
import { findOptions } from "./text_match.js";

/** Selects with fewer options open as the browser shows them. */
const OPTIONS_MIN = 12;
const LISTED_MAX = 200;
const MARGIN = 8;

/** @typedef {{value: string, label: string}} Option */

/**
 * Make a select searchable once it has many options; return the select.
 * @param {HTMLSelectElement} select
 */
export function searchable(select) {
  const isLong = () => select.options.length >= OPTIONS_MIN;
  select.addEventListener("mousedown", (event) => {
    if (!isLong()) return;
    event.preventDefault();
    select.focus();
  });
  // Not before the click: the end of a press outside of a popover closes it.
  select.addEventListener("click", () => isLong() && new OptionList(select).open());
  select.addEventListener("keydown", (event) => {
    if (!isLong() || !["Enter", " ", "ArrowDown", "ArrowUp"].includes(event.key)) return;
    event.preventDefault();
    new OptionList(select).open();
  });
  return select;
}

let lists = 0;

class OptionList {
  /** @param {HTMLSelectElement} select */
  constructor(select) {
    this.select = select;
    this.options = [...select.options].map(({ value, text }) => ({ value, label: text }));
    /** @type {Option[]} */
    this.shown = [];
    this.active = 0;
    this.id = `options-${(lists += 1)}`;
    const label = select.getAttribute("aria-label") ?? "Options";
    this.search = h("input", { type: "search", placeholder: "Search", role: "combobox", "aria-label": `Search: ${label}`, "aria-expanded": "true", "aria-controls": this.id, "aria-autocomplete": "list" });
    this.list = h("ul", { id: this.id, class: "option-list", role: "listbox", "aria-label": label });
    this.note = h("p", { class: "muted", role: "status" });
    this.element = h("div", { class: "options", popover: "auto" }, this.search, this.list, this.note);
    this.search.addEventListener("input", () => this.show(0));
    this.search.addEventListener("keydown", (event) => this.key(event));
    this.element.addEventListener("toggle", (event) => /** @type {ToggleEvent} */ (event).newState === "closed" && this.close());
  }

  open() {
    this.select.after(this.element);
    this.element.showPopover();
    this.show(this.options.findIndex(({ value }) => value === this.select.value));
    this.place();
    this.search.focus();
  }

  close() {
    const focused = this.element.contains(document.activeElement) || document.activeElement === document.body;
    this.element.remove();
    if (focused) this.select.focus();
  }

  /** Place the list below the select, within the window. */
  place() {
    const box = this.select.getBoundingClientRect();
    const { style, offsetWidth } = this.element;
    style.left = `${Math.max(MARGIN, Math.min(box.left, innerWidth - offsetWidth - MARGIN))}px`;
    style.top = `${box.bottom + 2}px`;
    style.maxHeight = `${Math.max(160, innerHeight - box.bottom - 2 * MARGIN)}px`;
  }

  /** @param {number} active index of the option that Enter chooses */
  show(active) {
    const matching = findOptions(this.options, this.search.value);
    this.shown = matching.slice(0, Math.max(LISTED_MAX, active + 1));
    fill(
      this.list,
      this.shown.map((option, at) => h("li", { id: `${this.id}-${at}`, role: "option", "aria-selected": String(option.value === this.select.value), onclick: () => this.choose(option) }, option.label)),
    );
    const rest = matching.length - this.shown.length;
    this.note.textContent = !matching.length ? "Nothing matches." : rest ? `${rest} more: search for them.` : "";
    this.note.hidden = !this.note.textContent;
    this.activate(active);
  }

  /** @param {number} at */
  activate(at) {
    this.active = Math.max(0, Math.min(at, this.shown.length - 1));
    for (const [index, item] of [...this.list.children].entries()) item.classList.toggle("active", index === this.active);
    const item = this.list.children[this.active];
    item?.scrollIntoView({ block: "nearest" });
    if (item) this.search.setAttribute("aria-activedescendant", item.id);
    else this.search.removeAttribute("aria-activedescendant");
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    const moves = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10 }[event.key];
    if (moves) {
      event.preventDefault();
      this.activate(this.active + moves);
    } else if (event.key === "Enter" && this.shown[this.active]) {
      event.preventDefault();
      this.choose(this.shown[this.active]);
    } else if (event.key === "Escape" || event.key === "Tab") {
      event.preventDefault();
      event.stopPropagation();
      this.element.hidePopover();
    }
  }

  /** @param {Option} option */
  choose({ value }) {
    this.element.hidePopover();
    if (value === this.select.value) return;
    this.select.value = value;
    this.select.dispatchEvent(new Event("change", { bubbles: true }));
  }
}
