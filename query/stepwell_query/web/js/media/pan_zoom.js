/** Zoom and position of a picture in its frame. */

/** @typedef {{scale: number, x: number, y: number}} View `x` and `y`: offset of the picture's centre from the frame's, in pixels */

/** @type {View} the whole picture */
export const WHOLE = Object.freeze({ scale: 1, x: 0, y: 0 });
const SCALE_MAX = 64;

/**
 * Zoom by a factor around a point, which stays where it is.
 * @param {View} view
 * @param {number} factor
 * @param {{x: number, y: number}} point relative to the frame's centre
 * @returns {View}
 */
export function zoomAt(view, factor, point) {
  const scale = Math.max(1, Math.min(view.scale * factor, SCALE_MAX));
  if (scale === 1) return WHOLE;
  const ratio = scale / view.scale;
  return { scale, x: point.x - (point.x - view.x) * ratio, y: point.y - (point.y - view.y) * ratio };
}

/**
 * Move the picture; its edges stay outside of the middle of the frame.
 * @param {View} view
 * @param {number} x
 * @param {number} y
 * @param {{width: number, height: number}} frame
 * @returns {View}
 */
export function panBy(view, x, y, frame) {
  const limit = (/** @type {number} */ at, /** @type {number} */ side) => Math.max((-side * view.scale) / 2, Math.min(at, (side * view.scale) / 2));
  return { scale: view.scale, x: limit(view.x + x, frame.width), y: limit(view.y + y, frame.height) };
}
