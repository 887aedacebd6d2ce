/** The menu of a chart: take it away as a picture or as values, put it together with other metrics. */

import { downloadCsv, downloadPng, downloadSvg } from "./take_away.js";
import { h } from "../ui/dom.js";
import { loadStyle } from "../ui/style_sheet.js";

/** @typedef {import("./line_panel.js").LinePanel} LinePanel */

const MARGIN = 4;

/**
 * Open the menu below its button.
 * @param {HTMLElement} button
 * @param {LinePanel} panel
 */
export async function openMenu(button, panel) {
  await loadStyle("extras.css");
  if (panel.gone) return;
  const failed = (/** @type {unknown} */ error) => panel.showNotice(`The file could not be made: ${/** @type {Error} */ (error).message}`, "Close", () => panel.draw());
  const entry = (/** @type {string} */ text, /** @type {() => unknown} */ call, isOff = false) =>
    h("button", { type: "button", role: "menuitem", tabindex: "-1", disabled: isOff, onclick: () => (menu.hidePopover(), void Promise.resolve().then(call).catch(failed)) }, text);
  const isEmpty = !panel.chart.plot;
  const { chart, key, id } = panel.spec;
  const entries = [
    entry("Download PNG", () => downloadPng(panel), isEmpty),
    entry("Download SVG", () => downloadSvg(panel), isEmpty),
    entry("Download CSV", () => downloadCsv(panel), isEmpty),
    chart ? entry("Edit this chart", () => panel.space.editChart(Number(id.slice(id.indexOf(":") + 1)))) : entry("Add other metrics", () => panel.space.editChart(-1, [key])),
  ];
  const menu = h("div", { class: "menu", popover: "auto", role: "menu", "aria-label": `Menu of ${key}` }, entries);
  menu.addEventListener("keydown", (event) => moveFocus(event, entries.filter((one) => !one.disabled)));
  menu.addEventListener("toggle", (event) => {
    if (/** @type {ToggleEvent} */ (event).newState !== "closed") return;
    const focused = menu.contains(document.activeElement) || document.activeElement === document.body;
    menu.remove();
    if (focused) button.focus();
  });
  button.after(menu);
  menu.showPopover();
  const { right, bottom } = button.getBoundingClientRect();
  menu.style.left = `${Math.max(MARGIN, Math.min(right - menu.offsetWidth, innerWidth - menu.offsetWidth - MARGIN))}px`;
  menu.style.top = `${Math.max(MARGIN, Math.min(bottom + 2, innerHeight - menu.offsetHeight - MARGIN))}px`;
  entries.find((one) => !one.disabled)?.focus();
}

/** @param {KeyboardEvent} event @param {HTMLElement[]} entries */
function moveFocus(event, entries) {
  const move = { ArrowUp: -1, ArrowDown: 1 }[event.key];
  if (!move) return;
  event.preventDefault();
  const at = entries.indexOf(/** @type {HTMLElement} */ (document.activeElement));
  entries[(at + move + entries.length) % entries.length]?.focus();
}
