/** What stands where a file has not arrived. */

import { mediaUrl } from "../api/service.js";
import { h } from "../ui/dom.js";
import { bytes } from "../ui/format.js";

/**
 * Put a word in the place of an element whose file can't be shown, until it is tried again.
 * @param {HTMLElement} element
 * @param {any} value the file's reference
 * @param {() => void} again load it anew; the element is back in its place
 */
export function missing(element, value, again) {
  const why = h("a", { href: mediaUrl(value.sha256), target: "_blank", rel: "noopener" }, "See why");
  const retry = () => {
    place.replaceWith(element);
    again();
  };
  const place = h("div", { class: "missing" }, `This file of ${bytes(value.size ?? 0)} has not arrived, or can't be shown. `, why, " ", h("button", { type: "button", onclick: retry }, "Try again"));
  element.replaceWith(place);
}
