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

/**
 * Return the valid masks of an image.
 * @param {any} value
 * @returns {any[]}
 */
export function readMasks(value) {
  return objectValues(value.masks).filter((mask) => isFileName(mask.sha256));
}

/**
 * Return the valid groups of boxes of an image.
 * @param {any} value
 * @returns {any[]}
 */
export function readBoxGroups(value) {
  return objectValues(value.boxes)
    .filter((boxes) => Array.isArray(boxes.box_data))
    .map((boxes) => ({ ...boxes, box_data: boxes.box_data.slice(0, BOXES_MAX) }));
}

/** @param {any} values @returns {any[]} */
function objectValues(values) {
  if (values === null || typeof values !== "object") return [];
  return Object.values(values).filter((entry) => entry !== null && typeof entry === "object");
}

/**
 * Return a file name extension with its dot; "" if no candidate is valid.
 * @param {...unknown} candidates the first valid one is used
 */
export function fileExtension(...candidates) {
  const extension = candidates.find((candidate) => typeof candidate === "string" && EXTENSION.test(candidate));
  return extension === undefined ? "" : `.${extension}`;
}
