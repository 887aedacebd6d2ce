/** The placeholder of a file that is not available. */

import { mediaUrl } from "../api/service.js";
import { h } from "../ui/dom.js";
import { bytes } from "../ui/format.js";

/**
 * Replace an element whose file can't be shown by a note, until the file is loaded again.
 * @param {HTMLElement} element
 * @param {any} value the file's reference
 * @param {() => void} reload loads the file; the element has been restored
 */
export function missing(element, value, reload) {
  const why = h("a", { href: mediaUrl(value.sha256), target: "_blank", rel: "noopener" }, "See why");
  const retry = () => {
    note.replaceWith(element);
    reload();
  };
  const note = h("div", { class: "missing" }, `This file of ${bytes(value.size ?? 0)} has not arrived yet, or can't be shown. `, why, " ", h("button", { type: "button", onclick: retry }, "Try again"));
  element.replaceWith(note);
}
