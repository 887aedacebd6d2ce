/** The colours of runs. */

const PALETTE = [
  "#3b78e7",
  "#e8710a",
  "#129e5e",
  "#d93a7c",
  "#8a5cf0",
  "#0a9ba8",
  "#c58b00",
  "#d23f31",
  "#5f7f1d",
  "#b04fc0",
  "#2d8ac7",
  "#9a6a4b",
];

/**
 * Return the colour of the `number`th run of a project. New runs do not change the colours of older ones.
 * @param {number} number
 */
export function paletteColor(number) {
  if (!Number.isInteger(number)) return PALETTE[0];
  return PALETTE[((number % PALETTE.length) + PALETTE.length) % PALETTE.length];
}

/**
 * Return a colour with an opacity.
 * @param {string} color `#rrggbb`
 * @param {number} opacity 0 to 1
 */
export function withAlpha(color, opacity) {
  const alpha = Math.round(opacity * 255);
  return `${color}${alpha.toString(16).padStart(2, "0")}`;
}
