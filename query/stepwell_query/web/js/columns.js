/** The dialog in which columns are chosen: 500 are offered at once, the search finds the rest. */

import { fill, h, iconButton } from "./dom.js";
import { COLUMNS_MAX } from "./fields.js";
import { count } from "./format.js";
import { matcher } from "./sections.js";

/**
 * @param {string[]} fields all there are
 * @param {string[]} chosen
 * @param {(columns: string[]) => void} choose
 */
export function chooseColumns(fields, chosen, choose) {
  const picked = new Set(chosen);
  const search = h("input", { type: "search", placeholder: "Search columns (regex)", "aria-label": "Search columns" });
  const list = h("ul", { class: "column-list" });
  const note = h("p", { class: "muted", role: "status" });
  const show = () => {
    const test = matcher(search.value);
    const found = fields.filter(test);
    const first = [...found.filter((field) => picked.has(field)), ...found.filter((field) => !picked.has(field))].slice(0, COLUMNS_MAX);
    fill(list, first.map((field) => h("li", {}, h("label", {}, box(field), h("span", {}, field)))));
    const rest = found.length - first.length;
    note.textContent = `${count(picked.size)} chosen of ${count(fields.length)}.${rest ? ` ${count(rest)} more: search for them.` : ""}`;
  };
  /** @param {string} field */
  const box = (field) => {
    const input = h("input", { type: "checkbox" });
    input.checked = picked.has(field);
    input.addEventListener("change", () => {
      if (!input.checked) picked.delete(field);
      else if (picked.size < COLUMNS_MAX) picked.add(field);
      else input.checked = false;
      const limit = picked.size >= COLUMNS_MAX ? ` A table shows ${COLUMNS_MAX} at most.` : "";
      note.textContent = `${count(picked.size)} chosen of ${count(fields.length)}.${limit}`;
    });
    return input;
  };
  search.addEventListener("input", show);
  const dialog = h("dialog", { class: "dialog", "aria-label": "Choose columns" });
  const done = () => {
    choose(fields.filter((field) => picked.has(field)));
    dialog.close();
  };
  fill(
    dialog,
    h("div", { class: "dialog-head" }, h("h2", {}, "Columns"), iconButton("close", "Close", () => dialog.close())),
    search,
    note,
    list,
    h("div", { class: "dialog-foot" }, h("button", { type: "button", onclick: () => (picked.clear(), show()) }, "None"), h("button", { type: "button", class: "primary", onclick: done }, "Show these")),
  );
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  show();
  dialog.showModal();
}
