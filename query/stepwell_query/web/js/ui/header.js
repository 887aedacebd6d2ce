/** The header of every page: the path to the page, and the theme. */

import { fill, h, iconButton, svg } from "./dom.js";
import { toggleTheme } from "./theme.js";

/**
 * Show the header.
 * @param {HTMLElement} top
 * @param {{name: string, href: string}[]} crumbs
 */
export function showHeader(top, crumbs) {
  fill(
    top,
    h("a", { class: "brand", href: "/", "aria-label": "Stepwell: all projects" }, mark(), h("span", {}, "Stepwell")),
    h(
      "nav",
      { class: "crumbs", "aria-label": "You are here" },
      crumbs.map(({ name, href }, at) =>
        h("a", { href, title: name, ...(at === crumbs.length - 1 ? { "aria-current": "page" } : {}) }, name),
      ),
    ),
    h("span", { class: "spacer" }),
    h("a", { class: "top-link", href: "/docs" }, "API"),
    iconButton("moon", "Light or dark", toggleTheme),
  );
}

function mark() {
  return svg(
    "svg",
    { viewBox: "0 0 32 32", class: "mark", "aria-hidden": "true" },
    svg("rect", { width: 32, height: 32, rx: 7, fill: "#1f2a44" }),
    svg("path", { d: "M5 9h7v5h6v5h5v5h4", fill: "none", stroke: "#7db4ff", "stroke-width": 3, "stroke-linejoin": "round" }),
    svg("path", { d: "M5 9c6 1 6 14 22 15", fill: "none", stroke: "#ffb45e", "stroke-width": 2 }),
  );
}

/** @param {string[]} parts */
export function href(...parts) {
  return `/${parts.map(encodeURIComponent).join("/")}`;
}
