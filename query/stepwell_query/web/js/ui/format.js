/** Formats numbers, times and values. */

const UNITS = [
  [1e12, "T"],
  [1e9, "B"],
  [1e6, "M"],
  [1e3, "k"],
];

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

/** @param {number} value */
function roundTo4(value) {
  return String(Number(value.toPrecision(4)));
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
  if (size < 1024) return `${size} B`;
  const power = Math.min(4, Math.floor(Math.log2(size) / 10));
  return `${(size / 1024 ** power).toPrecision(3)} ${["", "KiB", "MiB", "GiB", "TiB"][power]}`;
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
