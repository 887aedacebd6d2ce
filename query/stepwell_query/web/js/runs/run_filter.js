/**
 * Which runs a person searches for: words and conditions, all of which must hold. Pure.
 *
 *     adam config.lr>0.01 state=running tag:paper summary.val/loss<=0.3
 *
 * A word is a regular expression over name, id, tags, group and notes, in any case.
 */

import { readField } from "./run_fields.js";
import { textMatcher } from "../ui/text_match.js";

/** @typedef {import("../types.js").Run} Run */

const CONDITION = /^([\p{L}_][^<>=!~:\s]*)(<=|>=|!=|=|<|>|~)(.*)$/u;
const FIELDS = new Set(["name", "state", "tags", "group", "job_type", "host", "notes", "run_id", "last_step", "points", "runtime"]);

/**
 * Return a test of runs.
 * @param {string} text
 * @returns {(run: Run) => boolean}
 */
export function runFilter(text) {
  const tests = words(text).map(testOf);
  return (run) => tests.every((test) => test(run));
}

/**
 * Return the words of a text; quotes keep blanks together.
 * @param {string} text
 */
function words(text) {
  return [...text.matchAll(/(?:"[^"]*"?|\S)+/g)].map(([word]) => word.replaceAll('"', ""));
}

/**
 * Return the fields of the conditions in a text.
 * @param {string} text
 */
export function filterFields(text) {
  return words(text).flatMap((word) => CONDITION.exec(word)?.[1] ?? []);
}

/** @param {string} word @returns {(run: Run) => boolean} */
function testOf(word) {
  if (word.startsWith("tag:")) {
    const tag = word.slice(4).toLowerCase();
    return (run) => run.tags.some((one) => one.toLowerCase() === tag);
  }
  const found = CONDITION.exec(word);
  if (found && (FIELDS.has(found[1]) || /^(config|summary)\./.test(found[1]))) {
    const [, field, operator, wanted] = found;
    return (run) => holds(readField(run, field), operator, wanted);
  }
  const test = textMatcher(word);
  return (run) => [run.name, run.run_id, run.group, run.notes, ...run.tags].some((part) => part && test(part));
}

/** @param {unknown} value @param {string} operator @param {string} wanted */
function holds(value, operator, wanted) {
  if (value === undefined || value === null) return operator === "!=";
  const text = typeof value === "object" ? JSON.stringify(value) : String(value);
  if (operator === "~") return textMatcher(wanted)(text);
  const number = Number(wanted);
  const numbers = typeof value === "number" && wanted.trim() !== "" && !Number.isNaN(number);
  const order = numbers ? value - number : text.localeCompare(wanted, "en", { sensitivity: "base", numeric: true });
  switch (operator) {
    case "=":
      return order === 0;
    case "!=":
      return order !== 0;
    case "<":
      return order < 0;
    case "<=":
      return order <= 0;
    case ">":
      return order > 0;
    default:
      return order >= 0;
  }
}
