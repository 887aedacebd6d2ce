import assert from "node:assert/strict";
import { test } from "node:test";
import { columnInText, toRunFilter as translate } from "../../../query/stepwell_query/web/js/runs/run_filter.js";
import { RUN_FIELDS } from "./run_fields_sample.js";

const toRunFilter = (text) => translate(text, RUN_FIELDS);

const word = (expression, tag = expression) =>
  `(${["name", "run_id", "group", "notes"].map((field) => `${field} ~ ${JSON.stringify(`(?i)${expression}`)}`).join(" or ")} or tags has ${JSON.stringify(tag)})`;

test("words search the names and tags", () => {
  assert.equal(toRunFilter(""), "");
  assert.equal(toRunFilter('  "  '), "");
  assert.equal(toRunFilter("[ab]"), word("[ab]"));
  assert.equal(toRunFilter('"two words" x'), `${word("two words")} and ${word("x")}`);
  assert.equal(toRunFilter("a(b"), word("a\\(b", "a(b"));
  assert.equal(toRunFilter("cats and dogs"), `${word("cats")} and ${word("and")} and ${word("dogs")}`);
  assert.equal(toRunFilter("lr=0.1-bs=32"), word("lr=0.1-bs=32"));
});

test("the service's language is sent as it is typed", () => {
  for (const filter of ['config.lr > 0.1 and tags has "x"', 'not name ~ "^a" or summary.loss.min < 3', "config.a exists", 'state in ("failed", "crashed")', 'config."odd key" = null', "created_at >= '2026-01-31'"]) {
    assert.equal(toRunFilter(filter), filter);
  }
});

test("terms that nothing connects must all hold, and texts need no quotes", () => {
  assert.equal(toRunFilter("config.lr>0.01 state=running tag:paper"), 'config.lr > 0.01 and state = "running" and tags has "paper"');
  assert.equal(toRunFilter("adam config.lr<=1e-3"), `${word("adam")} and config.lr <= 1e-3`);
  assert.equal(toRunFilter("(state=running or state!=crashed) !tags has x"), '( state = "running" or state != "crashed" ) and ! tags has "x"');
  assert.equal(toRunFilter("name~adam name~'Ad'"), `name ~ "(?i)adam" and name ~ 'Ad'`);
  assert.equal(toRunFilter("name=3 config.a=3 config.b=true"), 'name = "3" and config.a = 3 and config.b = true');
  assert.equal(toRunFilter("runtime>100"), "runtime > 100");
  assert.equal(toRunFilter("git_dirty=true display_name=7"), 'git_dirty = true and display_name = "7"');
});

test("an unfinished condition stays as it is typed, so that the service reports it", () => {
  assert.equal(toRunFilter("adam config.lr>"), `${word("adam")} and config.lr>`);
  assert.equal(toRunFilter('state = "run'), 'state = "run');
  assert.equal(toRunFilter("adam config.lr"), `${word("adam")} and config.lr`);
});

test("the column of an error is that of the typed text", () => {
  for (const [text, typed] of [["config.lr >", 12], ["adam state=running config.lr >", 31], ["adam (config.lr >", 18]]) {
    assert.equal(columnInText(text, RUN_FIELDS, toRunFilter(text).length + 1), typed, text);
  }
  assert.equal(columnInText("adam config.lr>1", RUN_FIELDS, 3), 1);
});
