/** The theme, light or dark: the choice of the user, otherwise that of the system. */

import { inTheme } from "./palette.js";

const KEY = "stepwell-theme";
const system = matchMedia("(prefers-color-scheme: dark)");

/** @type {Set<() => void>} */
const listeners = new Set();
/** @type {Map<string, string>} */
const values = new Map();

/** @returns {"light" | "dark"} */
export function theme() {
  const chosen = stored();
  return chosen ?? (system.matches ? "dark" : "light");
}

/** @returns {"light" | "dark" | null} */
function stored() {
  try {
    const chosen = localStorage.getItem(KEY);
    return chosen === "light" || chosen === "dark" ? chosen : null;
  } catch {
    return null;
  }
}

export function toggleTheme() {
  const chosen = theme() === "dark" ? "light" : "dark";
  try {
    localStorage.setItem(KEY, chosen);
  } catch {
    // Without storage, the choice lasts until the page is closed.
  }
  apply(chosen);
}

/** @param {"light" | "dark"} chosen */
function apply(chosen) {
  document.documentElement.dataset.theme = chosen;
  values.clear();
  for (const call of [...listeners]) call();
}

/**
 * Return a colour of the palette as the current theme shows it.
 * @param {string} color
 */
export function shownColor(color) {
  return inTheme(color, theme());
}

/** @param {() => void} call */
export function onTheme(call) {
  listeners.add(call);
  return () => listeners.delete(call);
}

/**
 * Return a colour of the theme by its name in the style sheet.
 * @param {string} name
 */
export function themed(name) {
  let value = values.get(name);
  if (value === undefined) {
    value = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
    values.set(name, value);
  }
  return value;
}

export function startTheme() {
  apply(theme());
  system.addEventListener("change", () => stored() ?? apply(theme()));
}
