/** The shape of media values: what a reference must have before anything of it becomes an address or a drawing. Pure. */

/** Items of one value that are shown; the rest is counted. */
export const ITEMS_MAX = 200;
const PIXELS_MAX = 16_384;
const BINS_MAX = 10_000;
const BOXES_MAX = 10_000;
const SHA256 = /^[0-9a-f]{64}$/;
const ENDING = /^[A-Za-z0-9]{1,10}$/;

/**
 * Tell whether a text names a file: 64 lower-case hexadecimal digits.
 * @param {unknown} name
 * @returns {name is string}
 */
export function isFileName(name) {
  return typeof name === "string" && SHA256.test(name);
}

/**
 * Return what is wrong with a media value, "" where nothing is.
 * @param {string} kind
 * @param {any} value
 */
export function findFlaw(kind, value) {
  if (value === null || typeof value !== "object") return "it is no reference";
  if (kind !== "histogram") return isFileName(value.sha256) ? "" : "its sha256 is not 64 hexadecimal digits";
  const { bins, counts } = value;
  if (!areNumbers(bins) || !areNumbers(counts)) return "its bins and counts are not lists of numbers";
  if (bins.length !== counts.length + 1 || counts.length === 0) return "it has not one edge more than counts";
  return counts.length > BINS_MAX ? `it has more than ${BINS_MAX} bins` : "";
}

/** @param {unknown} values @returns {values is number[]} */
function areNumbers(values) {
  return Array.isArray(values) && values.every((value) => typeof value === "number");
}

/**
 * Return the size of an image that overlays are drawn at, null where it is none.
 * @param {any} value
 * @returns {{width: number, height: number} | null}
 */
export function imageSize({ width, height }) {
  const plausible = [width, height].every((side) => Number.isInteger(side) && side > 0 && side <= PIXELS_MAX);
  return plausible ? { width, height } : null;
}

/**
 * Return the masks of an image that can be drawn.
 * @param {any} value
 * @returns {any[]}
 */
export function readMasks(value) {
  return entriesOf(value.masks).filter((mask) => isFileName(mask.sha256));
}

/**
 * Return the groups of boxes of an image, each with its `box_data`.
 * @param {any} value
 * @returns {any[]}
 */
export function readBoxGroups(value) {
  return entriesOf(value.boxes)
    .filter((boxes) => Array.isArray(boxes.box_data))
    .map((boxes) => ({ ...boxes, box_data: boxes.box_data.slice(0, BOXES_MAX) }));
}

/** @param {any} values @returns {any[]} */
function entriesOf(values) {
  if (values === null || typeof values !== "object") return [];
  return Object.values(values).filter((one) => one !== null && typeof one === "object");
}

/**
 * Return the ending of a file's name with its dot, "" where there is none that a name may have.
 * @param {...unknown} wanted the first that fits
 */
export function fileExtension(...wanted) {
  const found = wanted.find((one) => typeof one === "string" && ENDING.test(one));
  return found === undefined ? "" : `.${found}`;
}
