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
 * Return the colour of one of many ranks: those of runs for a few, otherwise from blue over green to red, in their order.
 * @param {number} number
 * @param {number} ranks
 */
export function rankColor(number, ranks) {
  if (ranks <= PALETTE.length) return PALETTE[number];
  const hue = 225 * (1 - number / (ranks - 1));
  const channel = (/** @type {number} */ offset) => {
    const turn = (offset + hue / 30) % 12;
    const part = 0.46 - 0.34 * Math.max(-1, Math.min(turn - 3, 9 - turn, 1));
    return Math.round(255 * part).toString(16).padStart(2, "0");
  };
  return `#${channel(0)}${channel(8)}${channel(4)}`;
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
