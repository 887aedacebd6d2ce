/** Images with their logged boxes and masks. */

import { mediaUrl } from "../api/service.js";
import { paletteColor } from "../ui/palette.js";
import { h, svg } from "../ui/dom.js";
import { short } from "../ui/format.js";
import { missing } from "./missing_file.js";
import { imageSize, listOverlays } from "./references.js";

const SMALL = 96;
const MASK = 0.45;

/**
 * Show an image.
 * @param {any} value the image's reference
 * @param {{name: string}} shown
 */
export function imageView(value, shown) {
  return h("div", { class: "captioned" }, picture(value, shown.name, () => true), value.caption ? h("div", { class: "caption" }, value.caption) : null);
}

/**
 * Build an image with its overlays.
 * @param {any} value the image's reference
 * @param {string} name
 * @param {(overlay: import("./references.js").Overlay) => boolean} isShown whether an overlay is drawn
 */
export function picture(value, name, isShown) {
  const image = h("img", { src: mediaUrl(value.sha256), alt: value.caption ?? name, loading: "lazy", decoding: "async" });
  const stack = h("div", { class: value.width && value.width <= SMALL ? "image pixels" : "image" }, image);
  image.addEventListener("error", () => missing(stack, value, () => image.setAttribute("src", mediaUrl(value.sha256))));
  const size = imageSize(value);
  if (!size) return stack;
  for (const overlay of listOverlays(value).filter(isShown)) {
    stack.append(overlay.kind === "mask" ? maskOver(overlay.overlay, size.width, size.height) : boxesOver(overlay.overlay, size.width, size.height));
  }
  return stack;
}

/** @param {any} boxes @param {number} width @param {number} height */
function boxesOver(boxes, width, height) {
  const stroke = Math.max(width, height) / 150;
  const over = svg("svg", { class: "over", viewBox: `0 0 ${width} ${height}`, role: "img" });
  over.setAttribute("aria-label", `${boxes.box_data.length} boxes`);
  for (const box of boxes.box_data) {
    const rectangle = boxRectangle(box, width, height);
    if (!rectangle) continue;
    const { x, y, w, h: high } = rectangle;
    const color = paletteColor(Number(box.class_id));
    const scores = Object.entries(box.scores ?? {}).map(([name, score]) => `${name} ${short(Number(score))}`);
    const label = [box.box_caption ?? boxes.class_labels?.[String(box.class_id)] ?? box.class_id, ...scores].join(", ");
    const rect = svg("rect", { x, y, width: w, height: high, fill: "none", stroke: color, "stroke-width": stroke });
    const title = svg("title", {});
    title.textContent = label;
    const text = svg("text", { x: x + stroke, y: y + stroke * 8, fill: color, "font-size": stroke * 8 });
    text.textContent = label;
    over.append(svg("g", {}, title, rect, text));
  }
  return over;
}

/**
 * Return a box's rectangle in pixels; null if it has no valid position. Positions are fractions of the image unless
 * `domain` is `pixel`.
 * @param {any} box
 * @param {number} width
 * @param {number} height
 */
export function boxRectangle(box, width, height) {
  const at = box?.position;
  if (at === null || typeof at !== "object") return null;
  const [wide, high] = box.domain === "pixel" ? [1, 1] : [width, height];
  const w = at.width ?? at.maxX - at.minX;
  const h = at.height ?? at.maxY - at.minY;
  const x = at.minX ?? at.middle?.[0] - w / 2;
  const y = at.minY ?? at.middle?.[1] - h / 2;
  const rectangle = { x: x * wide, y: y * high, w: w * wide, h: h * high };
  return Object.values(rectangle).every(Number.isFinite) && rectangle.w >= 0 && rectangle.h >= 0 ? rectangle : null;
}

/** @param {any} mask @param {number} width @param {number} height */
function maskOver(mask, width, height) {
  const canvas = h("canvas", { class: "over", width, height, role: "img", "aria-label": `Mask: ${Object.values(mask.class_labels ?? {}).join(", ")}` });
  const image = new Image();
  image.addEventListener("load", () => {
    const context = canvas.getContext("2d", { willReadFrequently: true });
    if (!context) return;
    context.drawImage(image, 0, 0, width, height);
    const pixels = context.getImageData(0, 0, width, height);
    for (let at = 0; at < pixels.data.length; at += 4) {
      const id = pixels.data[at];
      const color = paletteColor(id);
      for (let part = 0; part < 3; part += 1) pixels.data[at + part] = parseInt(color.slice(1 + part * 2, 3 + part * 2), 16);
      // Class 0 is usually the background.
      pixels.data[at + 3] = id === 0 ? 0 : 255 * MASK;
    }
    context.putImageData(pixels, 0, 0);
  });
  image.src = mediaUrl(mask.sha256);
  return canvas;
}
