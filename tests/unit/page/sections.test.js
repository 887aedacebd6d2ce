import assert from "node:assert/strict";
import { test } from "node:test";
import { readCell } from "../../../query/stepwell_query/web/js/panels/rows_cache.js";
import { hiddenBy } from "../../../query/stepwell_query/web/js/series/metric_definitions.js";
import { isFolded, parseSectionName, buildSections } from "../../../query/stepwell_query/web/js/panels/sections.js";
import { textMatcher } from "../../../query/stepwell_query/web/js/ui/text_match.js";

const metric = (key, kind = "number", stream = "") => ({ key, kind, stream, first: 0, last: 1, runs: 1 });

test("a section is what stands before the first slash, or the last", () => {
  assert.equal(parseSectionName("train/gen/loss", "first"), "train");
  assert.equal(parseSectionName("train/gen/loss", "all"), "train/gen");
  assert.equal(parseSectionName("loss", "first"), "Charts");
  assert.equal(parseSectionName("/loss", "first"), "Charts");
});

test("keys without a section come first, the system's last and folded; names in natural order", () => {
  const found = buildSections([metric("a/x10"), metric("a/x9"), metric("loss"), metric("system/cpu", "number", "system")], "first", "");
  assert.deepEqual(found.map((one) => [one.name, one.quiet]), [["Charts", false], ["a", false], ["system", true]]);
  assert.deepEqual(found[1].panels.map((one) => one.label), ["x9", "x10"]);
  assert.ok(isFolded(found[2], []) && !isFolded(found[2], ["system"]) && isFolded(found[1], ["a"]));
});

test("numbers and bools of one key are one panel, each other kind has its own; the console has none", () => {
  const found = buildSections([metric("k"), metric("k", "bool"), metric("k", "image"), metric("console/stdout", "string", "console")], "first", "");
  assert.deepEqual(found.flatMap((one) => one.panels.map((panel) => panel.id)), ["line:k", "image:k"]);
});

test("a search is a regular expression in any case, or plain text where it is none", () => {
  assert.ok(textMatcher("^TRAIN/.*ss$")("train/loss"));
  assert.ok(!textMatcher("^loss")("train/loss"));
  assert.ok(textMatcher("a(b")("xA(B"));
  assert.equal(buildSections([metric("train/loss"), metric("val/loss")], "first", "^val").length, 1);
});

test("a metric that was defined as hidden is, by its own name before a pattern, unless another run shows it", () => {
  const definition = (name, hidden, glob = name.includes("*")) => ({ name, hidden, glob });
  const run = (...metric_definitions) => ({ metric_definitions });
  const hidden = hiddenBy([run(definition("Debug/*", true), definition("debug/kept", false)), run(), run()]);
  assert.deepEqual(["debug/a", "debug/kept", "loss", "_debug/a"].map(hidden), [true, false, false, false]);
  assert.ok(!hiddenBy([run(definition("a", true)), run(definition("a", false), definition("b", true))])("a"));
  assert.ok(hiddenBy([run(definition("a.b", true))])("A.B") && !hiddenBy([run(definition("a.b", true))])("aXb"));
});

test("a key that runs spell in other cases is one panel", () => {
  const metrics = ["Loss", "loss", "acc"].map((key) => ({ key, kind: "number", stream: "", first: 0, last: 1, runs: 1 }));
  assert.deepEqual(buildSections(metrics, "first", "")[0].panels.map((panel) => panel.key), ["acc", "Loss"]);
  assert.equal(readCell({ _step: 1, Said: "a" }, "said"), "a");
  assert.equal(readCell({ _step: 1, Said: "a", said: "b" }, "said"), "b");
  assert.equal(readCell({ _step: 1 }, "said"), undefined);
});
