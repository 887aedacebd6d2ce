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
 * - `tag:paper` is `tags has "paper"`.
 */

/** @typedef {import("../api/service_info.js").RunField} RunField */

const TEXT_FIELDS = ["name", "run_id", "group", "notes"];

const KEY = String.raw`[\p{L}\p{N}_][\p{L}\p{N}_/:@%+#*-]*|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|${"`"}(?:[^${"`"}\\]|\\.)*${"`"}`;
const OPERATOR = String.raw`<=|>=|==|!=|<>|!~|=~|=|<|>|~`;
const QUOTED = String.raw`"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'`;
const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;
const CONSTANT = /^(true|false|null|none|[+-]?(nan|inf|infinity))$/i;

const TAG = /tag:("[^"]*"|[^\s()]+)/y;
const WORD = /(?:"[^"]*"?|[^\s"])+/g;

/** @typedef {{kind: "condition" | "word" | "connective", text: string, at: number}} Token `at`: where it is typed */

/** The expressions of the language, for the fields that runs have. */
class Grammar {
  /** @param {RunField[]} fields */
  constructor(fields) {
    const names = fields.flatMap((field) => [field.name, ...field.synonyms]);
    const reference = String.raw`(?:(?:config|summary)(?:\.(?:${KEY}))+|(?:${names.join("|")})(?![\p{L}\p{N}_.]))`;
    this.numbers = new Set(fields.filter(({ type }) => type === "number" || type === "bool").flatMap((field) => [field.name, ...field.synonyms]));
    this.comparison = new RegExp(String.raw`(${reference})\s*(${OPERATOR})\s*(${QUOTED}|[^\s()"'<>=!~]+)`, "iuy");
    this.membership = new RegExp(String.raw`(${reference})\s+((?:not\s+)?in)\s*\(((?:${QUOTED}|[^()"'])*)\)`, "iuy");
    this.element = new RegExp(String.raw`(${reference})\s+((?:not\s+)?has)\s+(${QUOTED}|[^\s()]+)`, "iuy");
    this.existence = new RegExp(String.raw`(${reference})\s+(exists|missing)\b`, "iuy");
    this.unfinished = new RegExp(String.raw`${reference}\s*(?:${OPERATOR})|${reference}\s+(?:not\s+)?(?:in|has)\b|(?:config|summary)(?:\.(?:${KEY}))+(?=\s*$)`, "iuy");
    this.connective = new RegExp(String.raw`(?:and|or|not)(?=[\s()]|$)|&&|\|\||[()]|!(?=\s*(?:\(|${reference}))`, "iuy");
  }

  /** @param {string} field @returns {"text" | "any"} */
  valueType(field) {
    return /^(config|summary)\./.test(field) || this.numbers.has(field) ? "any" : "text";
  }
}

/** @type {WeakMap<RunField[], Grammar>} */
const grammars = new WeakMap();

/** @param {RunField[]} fields */
function grammarOf(fields) {
  const grammar = grammars.get(fields) ?? new Grammar(fields);
  grammars.set(fields, grammar);
  return grammar;
}

/**
 * Return the service's filter for a search text, "" if every run passes. A part that is not valid stays as it is typed,
 * so that the service reports it.
 * @param {string} text
 * @param {RunField[]} fields those of every run
 */
export function toRunFilter(text, fields) {
  const tokens = readTokens(text, grammarOf(fields));
  // Only conditions can be combined: `cats and dogs` and `val(2)` alone are words.
  if (!tokens.some(({ kind }) => kind === "condition")) {
    return [...text.matchAll(WORD)].flatMap(([word]) => (/[^"\s]/.test(word) ? wordFilter(word) : [])).join(" and ");
  }
  return joinTokens(tokens);
}

/** @param {string} text @param {Grammar} grammar @returns {Token[]} */
function readTokens(text, grammar) {
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
    const start = at;
    const condition = readCondition(next, grammar);
    if (condition) {
      tokens.push({ kind: "condition", text: condition, at: start });
      continue;
    }
    const connective = next(grammar.connective);
    if (connective) {
      tokens.push({ kind: "connective", text: connective[0], at: start });
      continue;
    }
    if (matchesAt(grammar.unfinished, text, at)) {
      tokens.push({ kind: "condition", text: text.slice(at), at });
      break;
    }
    const word = next(/(?:"[^"]*"?|[^\s"()])+/y);
    if (word && /[^"\s]/.test(word[0])) tokens.push({ kind: "word", text: wordFilter(word[0]), at: start });
  }
  return tokens;
}

/** @param {RegExp} expression @param {string} text @param {number} at */
function matchesAt(expression, text, at) {
  expression.lastIndex = at;
  return expression.test(text);
}

/** @param {(expression: RegExp) => RegExpExecArray | null} next @param {Grammar} grammar @returns {string | null} */
function readCondition(next, grammar) {
  const tag = next(TAG);
  if (tag) return `tags has ${literal(tag[1], "text")}`;
  const exists = next(grammar.existence);
  if (exists) return `${exists[1]} ${exists[2]}`;
  const member = next(grammar.membership);
  if (member) return `${member[1]} ${member[2]} (${readList(member[3]).map((value) => literal(value, grammar.valueType(member[1]))).join(", ")})`;
  const element = next(grammar.element);
  if (element) return `${element[1]} ${element[2]} ${literal(element[3], grammar.valueType(element[1]))}`;
  const comparison = next(grammar.comparison);
  if (!comparison) return null;
  const [, field, operator, value] = comparison;
  if (operator.includes("~")) return `${field} ${operator} ${literal(isQuoted(value) ? value : `(?i)${value}`, "text")}`;
  return `${field} ${operator} ${literal(value, grammar.valueType(field))}`;
}

/** @param {string} list the values between the parentheses of `in` */
function readList(list) {
  return [...list.matchAll(new RegExp(String.raw`${QUOTED}|[^\s,"'][^,"']*`, "g"))].map(([value]) => value.trim());
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
    filter += separator(filter, ended, kind, text) + text;
    ended = kind !== "connective" || text === ")";
  }
  return filter;
}

/** @param {string} before @param {boolean} ended @param {Token["kind"]} kind @param {string} text */
function separator(before, ended, kind, text) {
  const begins = kind !== "connective" || text === "(" || /^(not|!)$/i.test(text);
  return !before ? "" : ended && begins ? " and " : " ";
}

/**
 * Return the position in the search text that a position in its filter stands for.
 * @param {string} text
 * @param {RunField[]} fields
 * @param {number} column counted from 1, in the filter
 * @returns {number} counted from 1
 */
export function columnInText(text, fields, column) {
  let filter = "";
  let ended = false;
  let typed = column;
  for (const { kind, text: part, at } of readTokens(text, grammarOf(fields))) {
    filter += separator(filter, ended, kind, part);
    ended = kind !== "connective" || part === ")";
    if (column <= filter.length) break;
    // Parts that are not valid are sent as they are typed.
    const verbatim = text.startsWith(part, at);
    typed = at + (verbatim ? column - filter.length : 1);
    filter += part;
  }
  return Math.min(typed, text.length + 1);
}
