/** A comparison of runs as a table in Markdown, for notes and issues. */

import { difference, shown } from "../ui/format.js";
import { tableNumber } from "./run_columns.js";
import { toNumber } from "./run_fields.js";

/** @typedef {import("../types.js").Run} Run */
/** @typedef {import("./comparison.js").CompareSection} CompareSection */

/** Characters of a value; longer ones are cut. */
const LONG = 200;

/**
 * Return the comparison as Markdown.
 * @param {Run[]} runs
 * @param {CompareSection[]} sections
 * @param {{base: string, address: string, href: (run: Run) => string}} options `base`: id of the baseline; `address` of the
 *   comparison; `href` returns the address of a run
 */
export function comparisonMarkdown(runs, sections, { base, address, href }) {
  const heads = runs.map((run) => `[${escapeText(run.name)}](${href(run)})${run.run_id === base ? " (baseline)" : ""}`);
  const at = runs.findIndex((run) => run.run_id === base);
  const rows = sections.flatMap(({ name, rows: fields }) => [
    [`**${escapeText(name)}**`, ...runs.map(() => "")],
    ...fields.map(({ label, values }) => [escapeText(label), ...values.map((value, column) => escapeText(formatValue(value, column === at ? undefined : values[at])))]),
  ]);
  const table = [["", ...heads], ["---", ...runs.map(() => "---")], ...rows].map((cells) => `| ${cells.join(" | ")} |`);
  return [`[Comparison of ${runs.length} runs](${address})`, "", ...table, ""].join("\n");
}

/** @param {unknown} value @param {unknown} base undefined for the baseline itself, or without one */
function formatValue(value, base) {
  const number = typeof value === "number" ? value : undefined;
  if (number === undefined) return cut(shown(value));
  return [tableNumber(number), difference(number, toNumber(base) ?? NaN)].filter(Boolean).join(" ");
}

/** @param {string} text */
function cut(text) {
  return text.length > LONG ? `${text.slice(0, LONG)}…` : text;
}

/** Escape what Markdown would read as markup. @param {string} text */
export function escapeText(text) {
  return text.replace(/\s*\n\s*/g, " ").replace(/[\\`*_[\]<>|~#]/g, "\\$&");
}
