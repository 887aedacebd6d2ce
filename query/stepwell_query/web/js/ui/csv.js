/** Values as CSV (RFC 4180). */

/**
 * Return rows as CSV, with CRLF at the end of each. Numbers have all their digits. Texts that a spreadsheet would compute
 * as a formula begin with an apostrophe: names of runs come from any script.
 * @param {(string | number | boolean | null | undefined)[][]} rows
 */
export function toCsv(rows) {
  return rows.map((row) => `${row.map(formatCell).join(",")}\r\n`).join("");
}

/** @param {string | number | boolean | null | undefined} value */
function formatCell(value) {
  if (value === null || value === undefined) return "";
  if (typeof value !== "string") return String(value);
  const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
