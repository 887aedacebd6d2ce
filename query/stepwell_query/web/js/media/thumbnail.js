/** Small views of media in tables of runs and values: a picture, or what it is and its size. */

import { mediaUrl } from "../api/service.js";
import { h } from "../ui/dom.js";
import { bytes } from "../ui/format.js";
import { describeMedia } from "./references.js";

/**
 * Build a thumbnail.
 * @param {any} value a reference for which `isMedia` holds
 * @param {string} name of the value, for screen readers
 * @param {{words: boolean}} options `words`: also next to a picture
 */
export function thumbnail(value, name, { words }) {
  const { name: kind, size, pixels, picture, count } = describeMedia(value);
  const about = [count > 1 ? `${count} × ${kind}` : kind, pixels, size ? bytes(size) : ""].filter(Boolean).join(" · ");
  const text = h("span", { class: "media-words" }, about);
  if (!picture) return h("span", { class: "thumbnail" }, text);
  const image = h("img", { src: mediaUrl(picture), alt: `${name}: ${about}`, loading: "lazy", decoding: "async" });
  const more = !words && count > 1 ? h("span", { class: "muted" }, `+${count - 1}`) : null;
  const element = h("span", { class: "thumbnail", title: about }, image, words ? text : more);
  // The file may not have arrived yet.
  image.addEventListener("error", () => element.replaceChildren(text));
  return element;
}
