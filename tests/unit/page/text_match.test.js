import assert from "node:assert/strict";
import { test } from "node:test";
import { limitWidth } from "../../../query/stepwell_query/web/js/ui/resizer.js";
import { findOptions, findPatternFlaw, splitName } from "../../../query/stepwell_query/web/js/ui/text_match.js";

test("an invalid expression has a reason, a valid one has none", () => {
  for (const valid of ["", "loss", "^a|b$", "(x)", "[ab]"]) assert.equal(findPatternFlaw(valid), "");
  for (const invalid of ["(", "[", "*", "a)", "a{2,1}"]) assert.ok(findPatternFlaw(invalid), invalid);
});

test("options have all words of a search; those that begin with it come first", () => {
  const options = ["val/loss", "loss", "train/loss", "lr"].map((label) => ({ label }));
  const labels = (text) => findOptions(options, text).map(({ label }) => label);
  assert.deepEqual(labels(""), ["val/loss", "loss", "train/loss", "lr"]);
  assert.deepEqual(labels("LOSS"), ["loss", "val/loss", "train/loss"]);
  assert.deepEqual([labels("loss tr"), labels("x")], [["train/loss"], []]);
});

test("a long name keeps its end, whole characters at a time", () => {
  assert.deepEqual(splitName("short name"), ["short name", ""]);
  assert.deepEqual(splitName("resnet-lion-lr0.001-seed7"), ["resnet-lion-lr0", ".001-seed7"]);
  assert.deepEqual(splitName("🚀".repeat(21)), ["🚀".repeat(11), "🚀".repeat(10)]);
});

test("a width is neither below the least nor most of the window", () => {
  assert.deepEqual([limitWidth(10, 200, 1000), limitWidth(400.4, 200, 1000), limitWidth(5000, 200, 1000), limitWidth(300, 200, 100)], [200, 400, 600, 200]);
});
