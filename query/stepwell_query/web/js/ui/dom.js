/** Helpers to build elements. Texts are inserted as text, never parsed as markup. */

/** @typedef {Node | string | number | null | undefined | false} Child */

/**
 * Build an element. Properties are attributes; booleans toggle an attribute, and functions named `on…` are listeners.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, unknown>} [properties]
 * @param {...(Child | Child[])} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on") && typeof value === "function") {
      element.addEventListener(name.slice(2), /** @type {EventListener} */ (value));
    } else if (typeof value === "boolean" && !name.startsWith("aria-")) {
      element.toggleAttribute(name, value);
    } else if (value !== null && value !== undefined) {
      element.setAttribute(name, String(value));
    }
  }
  append(element, children);
  return element;
}

/** @param {Element} element @param {(Child | Child[])[]} children */
function append(element, children) {
  for (const child of children.flat()) {
    if (child !== null && child !== undefined && child !== false) {
      element.append(child instanceof Node ? child : String(child));
    }
  }
}

/**
 * Replace the content of an element.
 * @param {Element} element
 * @param {...(Child | Child[])} children
 */
export function fill(element, ...children) {
  element.replaceChildren();
  append(element, children);
}

const SVG = "http://www.w3.org/2000/svg";

/**
 * Build an SVG element.
 * @param {string} tag
 * @param {Record<string, string | number>} properties
 * @param {...Node} children
 */
export function svg(tag, properties, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(properties)) element.setAttribute(name, String(value));
  element.append(...children);
  return element;
}

/** The icons, as paths in a 16 × 16 view box. */
const ICONS = {
  expand: "M2 6V2h4M10 2h4v4M14 10v4h-4M6 14H2v-4",
  reset: "M3 8a5 5 0 1 0 2-4M5 1v3h3",
  eye: "M1 8s2.5-4.5 7-4.5S15 8 15 8s-2.5 4.5-7 4.5S1 8 1 8zM8 10a2 2 0 1 0 0-4 2 2 0 0 0 0 4z",
  table: "M2 3h12v10H2zM2 6.5h12M2 10h12M6 3v10",
  close: "M3 3l10 10M13 3L3 13",
  moon: "M13 10A6 6 0 0 1 6 3a5.5 5.5 0 1 0 7 7z",
  chevron: "M4 6l4 4 4-4",
  menu: "M2 4h12M2 8h12M2 12h12",
  grip: "M6 3v.01M6 8v.01M6 13v.01M10 3v.01M10 8v.01M10 13v.01",
  columns: "M2 3h12v10H2zM6.7 3v10M11.3 3v10",
  pin: "M6 1.5h4l-.5 5 2.5 2.5H4l2.5-2.5zM8 9v5.5",
  download: "M8 2v8M4.5 7L8 10.5 11.5 7M2.5 13.5h11",
};

/**
 * Build an icon.
 * @param {keyof typeof ICONS} name
 */
export function icon(name) {
  const path = svg("path", { d: ICONS[name], fill: "none", stroke: "currentColor", "stroke-width": 1.5 });
  return svg("svg", { viewBox: "0 0 16 16", class: "icon", "aria-hidden": "true" }, path);
}

/**
 * Build a button with an icon. Screen readers read its label; a pointer that rests on it shows the label.
 * @param {keyof typeof ICONS} name
 * @param {string} label
 * @param {() => void} onclick
 * @param {Record<string, unknown>} [more]
 */
export function iconButton(name, label, onclick, more = {}) {
  const button = h("button", { type: "button", class: "icon-button", "aria-label": label, title: label, onclick, ...more });
  button.append(icon(name));
  return button;
}

/**
 * Debounce a function: a burst of calls results in one call with the last arguments.
 * @template {unknown[]} A
 * @param {(...given: A) => void} call
 * @param {number} wait milliseconds of silence before the call
 */
export function debounced(call, wait) {
  let timer = 0;
  return (/** @type {A} */ ...given) => {
    clearTimeout(timer);
    timer = window.setTimeout(() => call(...given), wait);
  };
}
