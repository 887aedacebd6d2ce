/** Validation of media values: only valid parts of a reference become addresses or drawings. */

/** Items of one value that are shown; of the others, the number is shown. */
export const ITEMS_MAX = 200;
const PIXELS_MAX = 16_384;
const BINS_MAX = 10_000;
const BOXES_MAX = 10_000;
const SHA256 = /^[0-9a-f]{64}$/;
const EXTENSION = /^[A-Za-z0-9]{1,10}$/;

/**
 * Return whether a value is the name of a file: 64 lower-case hexadecimal digits.
 * @param {unknown} name
 * @returns {name is string}
 */
export function isFileName(name) {
  return typeof name === "string" && SHA256.test(name);
}

/**
 * Return the reason why a media value is invalid; "" if it is valid.
 * @param {string} kind
 * @param {any} value
 */
export function findFlaw(kind, value) {
  if (value === null || typeof value !== "object") return "it is not a reference";
  if (kind !== "histogram") return isFileName(value.sha256) ? "" : "its sha256 is not 64 hexadecimal digits";
  const { bins, counts } = value;
  if (!areNumbers(bins) || !areNumbers(counts)) return "its bins and counts are not lists of numbers";
  if (bins.length !== counts.length + 1 || counts.length === 0) return "it does not have one more edge than counts";
  return counts.length > BINS_MAX ? `it has more than ${BINS_MAX} bins` : "";
}

/** @param {unknown} values @returns {values is number[]} */
function areNumbers(values) {
  return Array.isArray(values) && values.every((value) => typeof value === "number");
}

/**
 * Return the size at which overlays of an image are drawn; null if it is not valid.
 * @param {any} value
 * @returns {{width: number, height: number} | null}
 */
export function imageSize({ width, height }) {
  const plausible = [width, height].every((side) => Number.isInteger(side) && side > 0 && side <= PIXELS_MAX);
  return plausible ? { width, height } : null;
}

/** @typedef {{kind: "mask" | "boxes", name: string, overlay: any}} Overlay */

/**
 * Return the valid masks and groups of boxes of an image with their names, in the order in which they are drawn.
 * @param {any} value
 * @returns {Overlay[]}
 */
export function listOverlays(value) {
  const masks = objectEntries(value.masks)
    .filter(([, mask]) => isFileName(mask.sha256))
    .map(([name, overlay]) => ({ kind: /** @type {const} */ ("mask"), name, overlay }));
  const boxes = objectEntries(value.boxes)
    .filter(([, group]) => Array.isArray(group.box_data))
    .map(([name, group]) => ({ kind: /** @type {const} */ ("boxes"), name, overlay: { ...group, box_data: group.box_data.slice(0, BOXES_MAX) } }));
  return [...masks, ...boxes];
}

/** @param {any} values @returns {[string, any][]} */
function objectEntries(values) {
  if (values === null || typeof values !== "object") return [];
  return Object.entries(values).filter(([, entry]) => entry !== null && typeof entry === "object");
}

/**
 * Return a file name extension with its dot; "" if no candidate is valid.
 * @param {...unknown} candidates the first valid one is used
 */
export function fileExtension(...candidates) {
  const extension = candidates.find((candidate) => typeof candidate === "string" && EXTENSION.test(candidate));
  return extension === undefined ? "" : `.${extension}`;
}

/**
 * Return whether a value of a summary is a reference to media, or a histogram.
 * @param {unknown} value
 */
export function isMedia(value) {
  if (value === null || typeof value !== "object") return false;
  const { items, sha256, bins, counts } = /** @type {any} */ (value);
  if (Array.isArray(items)) return items.length > 0 && items.every((item) => isFileName(item?.sha256));
  return isFileName(sha256) || (Array.isArray(bins) && Array.isArray(counts));
}

/** Names of content types, by their beginning. */
const CONTENTS = [
  ["image/", "image"],
  ["audio/", "audio"],
  ["video/", "video"],
  ["text/html", "page"],
  ["application/vnd.apache.parquet", "table"],
  ["application/vnd.plotly", "figure"],
];

/**
 * Describe media in a line: what it is, its size, and the file that is its picture.
 * @param {any} value a reference for which `isMedia` holds
 * @returns {{name: string, size: number, pixels: string, picture: string, count: number}} `pixels`: "28 × 28", and
 *   `picture`: the file of its first image; both "" if there are none. `size`: bytes of all files.
 */
export function describeMedia(value) {
  if (Array.isArray(value.bins)) return { name: "histogram", size: 0, pixels: "", picture: "", count: 1 };
  const items = Array.isArray(value.items) ? value.items : [value];
  const [first] = items;
  const type = String(first.content_type ?? "");
  const name = CONTENTS.find(([start]) => type.startsWith(start))?.[1] ?? "file";
  const size = items.reduce((/** @type {number} */ sum, /** @type {any} */ item) => sum + (Number(item.size) || 0), 0);
  const side = name === "image" ? imageSize(first) : null;
  return { name, size, pixels: side ? `${side.width} × ${side.height}` : "", picture: name === "image" ? first.sha256 : "", count: items.length };
}
