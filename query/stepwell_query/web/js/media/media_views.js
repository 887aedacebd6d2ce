/** Views of logged media, by kind. */

import { mediaUrl, pageUrl } from "../api/service.js";
import { h } from "../ui/dom.js";
import { bytes } from "../ui/format.js";
import { plotlyView } from "./figure_frames.js";
import { histogramView } from "../charts/histogram.js";
import { imageView } from "./images.js";
import { missing } from "./missing_file.js";
import { fileExtension, findFlaw, ITEMS_MAX } from "./references.js";
import { tableView } from "./table_view.js";

/** @typedef {{element: HTMLElement, leave: () => void}} View `leave` is called when the view is removed */
/** @typedef {{name: string, large: boolean}} Shown */

/**
 * Show a logged value: one medium, or a list of media.
 * @param {string} kind
 * @param {any} value its reference
 * @param {Shown} shown
 * @returns {View}
 */
export function mediaView(kind, value, shown) {
  if (value === null || typeof value !== "object") return view(h("span", {}, String(value)));
  if (!Array.isArray(value.items)) return single(kind, value, shown);
  /** @type {View[]} */
  const views = value.items.slice(0, ITEMS_MAX).map((/** @type {any} */ item) => single(kind, item, shown));
  const rest = value.items.length - views.length;
  const more = rest > 0 ? h("div", { class: "muted" }, `and ${rest} more`) : null;
  return { element: h("div", { class: "items" }, views.map((view) => view.element), more), leave: () => views.forEach((view) => view.leave()) };
}

/** @param {string} kind @param {any} value @param {Shown} shown @returns {View} */
function single(kind, value, shown) {
  const flaw = findFlaw(kind, value);
  if (flaw) return view(invalidNote(kind, flaw));
  try {
    return drawn(kind, value, shown);
  } catch (error) {
    // A bad value must not hide the other values.
    return view(invalidNote(kind, String(error)));
  }
}

/** @param {string} kind @param {string} why */
function invalidNote(kind, why) {
  return h("div", { class: "missing", role: "note" }, `This ${kind} can't be shown: ${why}.`);
}

/** @param {string} kind @param {any} value @param {Shown} shown @returns {View} */
function drawn(kind, value, shown) {
  switch (kind) {
    case "image":
      return view(imageView(value, shown));
    case "audio":
      return view(withCaption(media("audio", value, shown), value));
    case "video":
      return value.content_type === "image/gif" ? view(imageView(value, shown)) : view(withCaption(media("video", value, shown), value));
    case "html":
      return view(page(value, shown));
    case "plotly":
      return plotlyView(value, shown);
    case "histogram":
      return view(histogramView(value, shown));
    case "table":
      return tableView(value, shown, mediaView);
    default:
      return view(file(value));
  }
}

/** @param {HTMLElement} element @returns {View} */
function view(element) {
  return { element, leave: () => undefined };
}

/** @param {"audio" | "video"} tag @param {any} value @param {Shown} shown */
function media(tag, value, shown) {
  const element = h(tag, { controls: true, preload: "metadata", src: mediaUrl(value.sha256), "aria-label": value.caption ?? shown.name });
  element.addEventListener("error", () => missing(element, value, () => element.load()));
  if (element instanceof HTMLVideoElement) {
    element.muted = true;
    element.loop = true;
  }
  return element;
}

/**
 * Show an HTML page in a frame with an opaque origin: its scripts run, but cannot access anything outside of the frame.
 * @param {any} value
 * @param {Shown} shown
 */
function page(value, shown) {
  return h("iframe", {
    class: "page",
    src: pageUrl(value.sha256),
    sandbox: "allow-scripts",
    referrerpolicy: "no-referrer",
    title: value.caption ?? shown.name,
  });
}

/** @param {HTMLElement} element @param {any} value */
function withCaption(element, value) {
  return h("div", { class: "captioned" }, element, value.caption ? h("div", { class: "caption" }, value.caption) : null);
}

/** @param {any} value */
function file(value) {
  const about = [value.format, value.size ? bytes(Number(value.size)) : "", value.content_type].filter(Boolean).join(" · ");
  const name = `${value.sha256.slice(0, 12)}${fileExtension(value.format, "bin")}`;
  return h("div", { class: "file" }, h("a", { href: mediaUrl(value.sha256), download: name }, "Download"), h("span", { class: "muted" }, about), value.caption ? h("span", {}, value.caption) : null);
}
