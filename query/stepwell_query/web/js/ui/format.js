/** Formats numbers, times and values. */

/** @typedef {"" | "%" | "B" | "B/s" | "°C" | "W" | "s"} Unit "": a plain number */

const UNITS = [
  [1e12, "T"],
  [1e9, "B"],
  [1e6, "M"],
  [1e3, "k"],
];
const BYTES = ["B", "KiB", "MiB", "GiB", "TiB"];
const DIGITS = 5;
const DECIMALS_MAX = 12;
/** Ticks below are written in full: `5,000`. */
const ABBREVIATED = 1e4;

/**
 * Format a number for a list or an axis: `0.01234`, `12.3k`.
 * @param {number} value
 */
export function short(value) {
  if (!Number.isFinite(value)) return String(value).replace("Infinity", "∞");
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-4 || size >= 1e15)) return value.toExponential(2);
  if (size >= 1e5) {
    const [unit, name] = /** @type {[number, string]} */ (UNITS.find(([minimum]) => size >= Number(minimum)));
    return `${roundTo4(value / unit)}${name}`;
  }
  return roundTo4(value);
}

/**
 * Format a number to be read: five significant digits, all digits of its integer part, and thousands separated.
 * @param {number} value
 * @param {Unit} [unit]
 * @returns {string}
 */
export function readable(value, unit = "") {
  if (!Number.isFinite(value)) return exact(value);
  if (isBytes(unit)) {
    const power = bytePower(Math.abs(value));
    return `${readable(value / 1024 ** power)} ${BYTES[power]}${unit.slice(1)}`;
  }
  return `${readableNumber(value)}${suffix(unit)}`;
}

/** @param {number} value */
function readableNumber(value) {
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-4 || size >= 1e15)) return value.toExponential(DIGITS - 1).replace(/\.?0+e/, "e").replace("e+", "e");
  const whole = size >= 1 ? Math.floor(Math.log10(size)) + 1 : 0;
  return whole >= DIGITS ? Math.round(value).toLocaleString("en") : Number(value.toPrecision(DIGITS)).toLocaleString("en", { maximumSignificantDigits: DIGITS });
}

/**
 * Format the labels of a linear axis. All have the same unit and the same number of decimals: `50k` stands next to `100k`.
 * @param {number[]} ticks ascending
 * @param {Unit} [unit]
 * @returns {string[]}
 */
export function tickLabels(ticks, unit = "") {
  const size = ticks.reduce((most, tick) => Math.max(most, Math.abs(tick)), 0);
  const { factor, name } = scaleOf(size, unit);
  const gap = ticks.slice(1).reduce((least, tick, at) => Math.min(least, tick - ticks[at]), Infinity) / factor;
  const decimals = decimalsOf(ticks.map((tick) => tick / factor), gap);
  return ticks.map((tick) => (tick === 0 ? "0" : `${(tick / factor).toLocaleString("en", { minimumFractionDigits: decimals, maximumFractionDigits: decimals })}${name}`));
}

/**
 * Format a label of a logarithmic axis, whose ticks may be many orders of magnitude apart.
 * @param {number} tick
 * @param {Unit} [unit]
 */
export function logTickLabel(tick, unit = "") {
  if (tick !== 0 && Math.abs(tick) < 1e-3) return `${Number(tick.toPrecision(DIGITS)).toExponential()}${suffix(unit)}`;
  const { factor, name } = scaleOf(Math.abs(tick), unit, 1e3);
  return `${Number((tick / factor).toPrecision(DIGITS))}${name}`;
}

/**
 * Return the factor of the unit in which values up to a size are written, and its name.
 * @param {number} size
 * @param {Unit} unit
 * @param {number} [from] sizes below have no prefix
 */
function scaleOf(size, unit, from = ABBREVIATED) {
  if (isBytes(unit)) {
    const power = bytePower(size);
    return { factor: 1024 ** power, name: ` ${BYTES[power]}${unit.slice(1)}` };
  }
  const [factor, name] = UNITS.find(([minimum]) => size >= Number(minimum)) ?? [1, ""];
  if (size >= from && size < 1e15) return { factor: Number(factor), name: `${name}${suffix(unit)}` };
  if (size !== 0 && (size < 1e-3 || size >= 1e15)) {
    const power = Math.floor(Math.log10(size));
    return { factor: 10 ** power, name: `e${power}${suffix(unit)}` };
  }
  return { factor: 1, name: suffix(unit) };
}

/**
 * Return the number of decimals that tells ticks apart.
 * @param {number[]} ticks
 * @param {number} gap the least difference of two
 */
function decimalsOf(ticks, gap) {
  for (let decimals = 0; decimals < DECIMALS_MAX; decimals += 1) {
    const power = 10 ** decimals;
    if (ticks.every((tick) => Math.abs(Math.round(tick * power) / power - tick) <= gap / 1_000)) return decimals;
  }
  return DECIMALS_MAX;
}

/** @param {Unit} unit */
export function isBytes(unit) {
  return unit.startsWith("B");
}

/** @param {number} size */
function bytePower(size) {
  return size < 1024 ? 0 : Math.min(BYTES.length - 1, Math.floor(Math.log2(size) / 10));
}

/** @param {Unit} unit */
function suffix(unit) {
  return unit === "" || unit === "%" ? unit : ` ${unit}`;
}

/** @param {number} value */
function roundTo4(value) {
  return String(Number(value.toPrecision(4)));
}

/**
 * Format the difference of a value from another one, absolute and relative: `−0.012 (−3.1%)`; "" if there is none.
 * @param {number} value
 * @param {number} base
 */
export function difference(value, base) {
  if (!Number.isFinite(value) || !Number.isFinite(base)) return "";
  if (value === base) return "±0";
  const sign = value < base ? "−" : "+";
  const by = Math.abs(value - base);
  const share = Number(((by / Math.abs(base)) * 100).toPrecision(3)).toLocaleString("en", { maximumSignificantDigits: 3 });
  return `${sign}${short(by)}${base ? ` (${sign}${share}%)` : ""}`;
}

/**
 * Format a number with all its digits.
 * @param {number} value
 */
export function exact(value) {
  return Number.isFinite(value) ? String(value) : String(value).replace("Infinity", "∞");
}

/** @param {number} value */
export function count(value) {
  return value.toLocaleString("en");
}

/**
 * Format a duration: `3 d 4 h`, `12 min 3 s`, `0.53 s`.
 * @param {number} seconds
 */
export function duration(seconds) {
  if (!Number.isFinite(seconds) || seconds < 0) return "–";
  if (seconds < 10) return `${roundTo4(Math.round(seconds * 100) / 100)} s`;
  const parts = [
    [Math.floor(seconds / 86400), "d"],
    [Math.floor(seconds / 3600) % 24, "h"],
    [Math.floor(seconds / 60) % 60, "min"],
    [Math.floor(seconds) % 60, "s"],
  ];
  const first = parts.findIndex(([amount]) => Number(amount) > 0);
  return parts
    .slice(first, first + 2)
    .filter(([amount]) => Number(amount) > 0)
    .map(([amount, unit]) => `${amount} ${unit}`)
    .join(" ");
}

/**
 * Format a time relative to now: `3 h ago`.
 * @param {string | null} iso
 * @param {number} now milliseconds since the epoch
 */
export function ago(iso, now) {
  if (!iso) return "–";
  const seconds = (now - Date.parse(iso)) / 1000;
  if (seconds < 5) return "now";
  return `${duration(seconds < 60 ? seconds : seconds - (seconds % 60)).split(" ").slice(0, 2).join(" ")} ago`;
}

/**
 * Format a time in the local time zone.
 * @param {string | null} iso
 */
export function time(iso) {
  if (!iso) return "–";
  const at = new Date(iso);
  const two = (/** @type {number} */ number) => String(number).padStart(2, "0");
  const day = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  return `${day} ${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}

/** @param {number} size */
export function bytes(size) {
  const power = bytePower(size);
  return power ? `${(size / 1024 ** power).toPrecision(3)} ${BYTES[power]}` : `${size} B`;
}

/**
 * Format any logged value as one line.
 * @param {unknown} value
 */
export function shown(value) {
  if (value === null || value === undefined) return "";
  if (typeof value === "number") return Number.isInteger(value) ? String(value) : short(value);
  if (typeof value === "string") return value;
  if (typeof value === "boolean") return value ? "true" : "false";
  return JSON.stringify(value);
}
