/**
 * Translates the text of the search box into a filter of the service (docs/runs.md has the language).
 *
 *     adam config.lr>0.01 state=running tag:paper
 *     config.lr > 0.01 and (tags has "paper" or name ~ "adam")
 *
 * The box accepts the whole language, and these shorthands in addition:
 * - terms without `and` or `or` between them must all hold;
 * - a word that is not a condition searches name, id, group and notes as a regular expression, and the tags as a whole;
 * - texts need no quotes: `state=running`; an unquoted regular expression ignores case: `name~adam`;
 * - `tag:paper` is `tags has "paper"`, and `runtime` is `duration`.
 */

const TEXT_FIELDS = ["name", "run_id", "group", "notes"];
const FIELDS = [
  ...TEXT_FIELDS,
  ...["state", "tags", "job_type", "host", "client", "exit_code", "created_at", "started_at", "finished_at", "last_activity"],
  ...["heartbeat_at", "duration", "runtime", "last_step", "log_rows", "points", "step_conflicts"],
];

const KEY = String.raw`[\p{L}\p{N}_][\p{L}\p{N}_/:@%+#*-]*|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|${"`"}(?:[^${"`"}\\]|\\.)*${"`"}`;
const REFERENCE = String.raw`(?:(?:config|summary)(?:\.(?:${KEY}))+|(?:${FIELDS.join("|")})(?![\p{L}\p{N}_.]))`;
const OPERATOR = String.raw`<=|>=|==|!=|<>|!~|=~|=|<|>|~`;
const QUOTED = String.raw`"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'`;
const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;
const CONSTANT = /^(true|false|null|none|[+-]?(nan|inf|infinity))$/i;

const COMPARISON = new RegExp(String.raw`(${REFERENCE})\s*(${OPERATOR})\s*(${QUOTED}|[^\s()"'<>=!~]+)`, "iuy");
const MEMBERSHIP = new RegExp(String.raw`(${REFERENCE})\s+((?:not\s+)?in)\s*\(((?:${QUOTED}|[^()"'])*)\)`, "iuy");
const ELEMENT = new RegExp(String.raw`(${REFERENCE})\s+((?:not\s+)?has)\s+(${QUOTED}|[^\s()]+)`, "iuy");
const EXISTENCE = new RegExp(String.raw`(${REFERENCE})\s+(exists|missing)\b`, "iuy");
const UNFINISHED = new RegExp(String.raw`${REFERENCE}\s*(?:${OPERATOR})|${REFERENCE}\s+(?:not\s+)?(?:in|has)\b`, "iuy");
const TAG = /tag:("[^"]*"|[^\s()]+)/y;
const CONNECTIVE = new RegExp(String.raw`(?:and|or|not)(?=[\s()]|$)|&&|\|\||[()]|!(?=\s*(?:\(|${REFERENCE}))`, "iuy");
const WORD = /(?:"[^"]*"?|[^\s"])+/g;

/** @typedef {{kind: "condition" | "word" | "connective", text: string}} Token */

/**
 * Return the service's filter for a search text, "" if every run passes. A part that is not valid stays as it is typed,
 * so that the service reports it.
 * @param {string} text
 */
export function toRunFilter(text) {
  const tokens = readTokens(text);
  // Only conditions can be combined: `cats and dogs` and `val(2)` alone are words.
  if (!tokens.some(({ kind }) => kind === "condition")) {
    return [...text.matchAll(WORD)].flatMap(([word]) => (/[^"\s]/.test(word) ? wordFilter(word) : [])).join(" and ");
  }
  return joinTokens(tokens);
}

/** @param {string} text @returns {Token[]} */
function readTokens(text) {
  /** @type {Token[]} */
  const tokens = [];
  let at = 0;
  /** @param {RegExp} expression */
  const next = (expression) => {
    expression.lastIndex = at;
    const match = expression.exec(text);
    if (match) at += match[0].length;
    return match;
  };
  while (at < text.length) {
    if (next(/\s+/y)) continue;
    const condition = readCondition(next);
    if (condition) {
      tokens.push({ kind: "condition", text: condition });
      continue;
    }
    const connective = next(CONNECTIVE);
    if (connective) {
      tokens.push({ kind: "connective", text: connective[0] });
      continue;
    }
    if (matchesAt(UNFINISHED, text, at)) {
      tokens.push({ kind: "condition", text: text.slice(at) });
      break;
    }
    const word = next(/(?:"[^"]*"?|[^\s"()])+/y);
    if (word && /[^"\s]/.test(word[0])) tokens.push({ kind: "word", text: wordFilter(word[0]) });
  }
  return tokens;
}

/** @param {RegExp} expression @param {string} text @param {number} at */
function matchesAt(expression, text, at) {
  expression.lastIndex = at;
  return expression.test(text);
}

/** @param {(expression: RegExp) => RegExpExecArray | null} next @returns {string | null} */
function readCondition(next) {
  const tag = next(TAG);
  if (tag) return `tags has ${literal(tag[1], "text")}`;
  const exists = next(EXISTENCE);
  if (exists) return `${reference(exists[1])} ${exists[2]}`;
  const member = next(MEMBERSHIP);
  if (member) return `${reference(member[1])} ${member[2]} (${readList(member[3]).map((value) => literal(value, valueType(member[1]))).join(", ")})`;
  const element = next(ELEMENT);
  if (element) return `${reference(element[1])} ${element[2]} ${literal(element[3], valueType(element[1]))}`;
  const comparison = next(COMPARISON);
  if (!comparison) return null;
  const [, field, operator, value] = comparison;
  if (operator.includes("~")) return `${reference(field)} ${operator} ${literal(isQuoted(value) ? value : `(?i)${value}`, "text")}`;
  return `${reference(field)} ${operator} ${literal(value, valueType(field))}`;
}

/** @param {string} list the values between the parentheses of `in` */
function readList(list) {
  return [...list.matchAll(new RegExp(String.raw`${QUOTED}|[^\s,"'][^,"']*`, "g"))].map(([value]) => value.trim());
}

/**
 * Write a field as the service names it.
 * @param {string} field
 */
function reference(field) {
  return field === "runtime" ? "duration" : field;
}

/** @param {string} field @returns {"text" | "any"} */
function valueType(field) {
  if (/^(config|summary)\./.test(field)) return "any";
  return ["exit_code", "duration", "runtime", "last_step", "log_rows", "points", "step_conflicts"].includes(field) ? "any" : "text";
}

/** @param {string} value */
function isQuoted(value) {
  return /^["']/.test(value);
}

/**
 * Write a value as the language does: unquoted texts get quotes.
 * @param {string} value
 * @param {"text" | "any"} type
 */
function literal(value, type) {
  if (isQuoted(value)) return value;
  return type === "any" && (NUMBER.test(value) || CONSTANT.test(value)) ? value : JSON.stringify(value);
}

/**
 * Build the filter of a word: runs whose names contain it, or that have it as a tag.
 * @param {string} word
 */
function wordFilter(word) {
  const text = word.replaceAll('"', "");
  const expression = JSON.stringify(`(?i)${isExpression(text) ? text : text.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&")}`);
  return `(${[...TEXT_FIELDS.map((field) => `${field} ~ ${expression}`), `tags has ${JSON.stringify(text)}`].join(" or ")})`;
}

/** @param {string} text */
function isExpression(text) {
  try {
    return !!new RegExp(text);
  } catch {
    return false;
  }
}

/**
 * Join tokens, with `and` between terms that nothing connects.
 * @param {Token[]} tokens
 */
function joinTokens(tokens) {
  let filter = "";
  let ended = false;
  for (const { kind, text } of tokens) {
    const begins = kind !== "connective" || text === "(" || /^(not|!)$/i.test(text);
    if (filter) filter += ended && begins ? " and " : " ";
    filter += text;
    ended = kind !== "connective" || text === ")";
  }
  return filter;
}
