/** The colours of runs. */

/** @typedef {"light" | "dark"} Theme */

/**
 * Colours that stay apart: each is as far as possible from those before it, for normal sight and for the three kinds of
 * colour blindness, in both themes. The address holds the colours of the light theme.
 */
export const PALETTE = [
  "#3b78e7", "#c70f01", "#8e389b", "#cb852f", "#c84c8a", "#4e3aec", "#848ee6", "#852641", "#1f7e3f", "#2935be",
  "#a62b6c", "#68337e", "#6b64ba", "#b87267", "#9e5a68", "#9e170c", "#884644", "#88833f", "#45a840", "#7e12a2",
  "#208989", "#7b5181", "#e24bac", "#95559e", "#815b1f", "#70385a", "#b14f42", "#7444b4", "#9783be", "#6a18d8",
];

/** The same colours for a dark background, in the same order. */
export const PALETTE_DARK = [
  "#98bcfe", "#fc5c48", "#bd65ca", "#fdd8b2", "#fe95c4", "#767dfd", "#d7ddfe", "#aa4860", "#57af6d", "#425be5",
  "#d85b98", "#8a53a1", "#9d98f2", "#fcb2a5", "#d68d9a", "#c94536", "#b36d6a", "#c4bf7a", "#8cef85", "#a543cb",
  "#63c2c2", "#a87cae", "#fcbde0", "#cb88d4", "#ae864c", "#93587a", "#eb8373", "#9f71e5", "#dac8ff", "#8c5cfb",
];

/** Ranks that have colours of the palette: more of them are easier to follow in order. */
const FEW = 12;

/**
 * Colours of many ranks in their order: the lightness grows from stop to stop, so that the order is seen with every kind
 * of colour blindness, and all stand out from the panel.
 */
const RAMP = ["#0d0887", "#5c01a6", "#9c179e", "#cc4778", "#e56b5d"];
const RAMP_DARK = ["#b93289", "#db5c68", "#f48849", "#febc2a", "#f0f921"];

const DARK = new Map(PALETTE.map((color, at) => [color, PALETTE_DARK[at]]));

/**
 * Return a colour as a theme shows it. Only those of the palette and of ranks differ.
 * @param {string} color
 * @param {Theme} theme
 */
export function inTheme(color, theme) {
  return theme === "dark" ? (DARK.get(color) ?? color) : color;
}

/**
 * Return the colour of the `number`th run of a project. New runs do not change the colours of older ones.
 * @param {number} number
 */
export function paletteColor(number) {
  if (!Number.isInteger(number)) return PALETTE[0];
  return PALETTE[((number % PALETTE.length) + PALETTE.length) % PALETTE.length];
}

/**
 * Return the colour of one of many ranks: those of runs for a few, otherwise from blue over violet to orange, in their
 * order.
 * @param {number} number
 * @param {number} ranks
 */
export function rankColor(number, ranks) {
  if (ranks <= FEW) return PALETTE[number];
  const share = number / (ranks - 1);
  const color = rampColor(RAMP, share);
  DARK.set(color, rampColor(RAMP_DARK, share));
  return color;
}

/** @param {string[]} stops evenly spaced @param {number} share 0 to 1 */
function rampColor(stops, share) {
  const at = Math.min(Math.floor(share * (stops.length - 1)), stops.length - 2);
  const part = share * (stops.length - 1) - at;
  const channel = (/** @type {string} */ color, /** @type {number} */ from) => parseInt(color.slice(from, from + 2), 16);
  const mixed = [1, 3, 5].map((from) => Math.round(channel(stops[at], from) * (1 - part) + channel(stops[at + 1], from) * part));
  return `#${mixed.map((value) => value.toString(16).padStart(2, "0")).join("")}`;
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
