/** What stands where a file has not arrived. */

import { mediaUrl } from "./api.js";
import { h } from "./dom.js";
import { bytes } from "./format.js";

/** @param {any} value the file's reference */
export function missing(value) {
  const why = h("a", { href: mediaUrl(value.sha256), target: "_blank", rel: "noopener" }, "See why");
  return h("div", { class: "missing" }, `This file of ${bytes(value.size ?? 0)} has not arrived, or can't be shown. `, why);
}
