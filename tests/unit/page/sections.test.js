import assert from "node:assert/strict";
import { test } from "node:test";
import { readCell } from "../../../query/stepwell_query/web/js/panels/rows_cache.js";
import { hiddenBy } from "../../../query/stepwell_query/web/js/series/metric_definitions.js";
import { combineRanks, isFolded, moveName, orderSections, parseSectionName, buildSections } from "../../../query/stepwell_query/web/js/panels/sections.js";
import { panelSize, placePanels } from "../../../query/stepwell_query/web/js/panels/flow.js";
import { textMatcher } from "../../../query/stepwell_query/web/js/ui/text_match.js";

const metric = (key, kind = "number", stream = "", folded = key.toLowerCase()) => ({ key, folded, kind, stream, first: 0, last: 1, runs: 1, writers: 0 });

test("a section is the part of a key before its first slash, or its last", () => {
  assert.equal(parseSectionName("train/gen/loss", "first"), "train");
  assert.equal(parseSectionName("train/gen/loss", "all"), "train/gen");
  assert.equal(parseSectionName("loss", "first"), "Charts");
  assert.equal(parseSectionName("/loss", "first"), "Charts");
});

test("keys without a section come first, the system's last and folded; names in natural order", () => {
  const sections = buildSections([metric("a/x10"), metric("a/x9"), metric("loss"), metric("system/cpu", "number", "system")], "first", "");
  assert.deepEqual(sections.map((section) => [section.name, section.quiet]), [["Charts", false], ["a", false], ["system", true]]);
  assert.deepEqual(sections[1].panels.map((panel) => panel.label), ["x9", "x10"]);
  assert.ok(isFolded(sections[2], []) && !isFolded(sections[2], ["system"]) && isFolded(sections[1], ["a"]));
});

test("sections with losses, accuracies and validation come first, then other curves, then media", () => {
  const keys = [metric("audio/clip", "audio"), metric("clip", "audio"), metric("debug/x"), metric("gen/acc"), metric("train/gloss"), metric("val/bleu"), metric("zen/loss")];
  const names = (metrics) => buildSections(metrics, "first", "").map(({ name }) => name);
  assert.deepEqual(names(keys), ["zen", "gen", "val", "debug", "train", "audio", "Charts"]);
  assert.deepEqual(names([...keys, metric("lr")])[0], "Charts");
});

test("panels fill the gaps that wide and high ones leave, and a wide one grows into a free column", () => {
  const place = (kinds, columns) => {
    const { spots, rows } = placePanels(kinds.map((kind) => panelSize(kind, columns)), columns);
    return [spots.map(({ column, row, span }) => [column, row, span]), rows];
  };
  assert.deepEqual(place(["image", "image", "line", "line"], 3), [[[0, 0, 2], [0, 2, 2], [2, 0, 1], [2, 2, 1]], 4]);
  assert.deepEqual(place(["image", "audio"], 3), [[[0, 0, 3], [0, 2, 3]], 3]);
  assert.deepEqual(place(["table", "line"], 1), [[[0, 0, 1], [0, 3, 1]], 5]);
  assert.deepEqual(place(["table", "line", "audio"], 3), [[[0, 0, 2], [2, 0, 1], [0, 3, 3]], 4]);
  assert.deepEqual(place([], 3), [[], 0]);
  const kinds = Array.from({ length: 5_000 }, (_, at) => ["line", "image", "audio", "table"][at % 4]);
  const began = performance.now();
  place(kinds, 5);
  assert.ok(performance.now() - began < 1_000);
});

test("numbers and bools of one key are one panel, each other kind has its own; the console has none", () => {
  const sections = buildSections([metric("k"), metric("k", "bool"), metric("k", "image"), metric("console/stdout", "string", "console")], "first", "");
  assert.deepEqual(sections.flatMap((section) => section.panels.map((panel) => panel.id)), ["line:k", "image:k"]);
});

test("a search is a regular expression in any case, or plain text where it is none", () => {
  assert.ok(textMatcher("^TRAIN/.*ss$")("train/loss"));
  assert.ok(!textMatcher("^loss")("train/loss"));
  assert.ok(textMatcher("a(b")("xA(B"));
  assert.equal(buildSections([metric("train/loss"), metric("val/loss")], "first", "^val").length, 1);
});

test("a metric that was defined as hidden is, by its own name before a pattern, unless another run shows it", () => {
  const definition = (name, hidden, glob = name.includes("*")) => ({ name, folded: name.toLowerCase(), hidden, glob });
  const run = (...metric_definitions) => ({ metric_definitions });
  const hidden = hiddenBy([run(definition("Debug/*", true), definition("debug/kept", false)), run(), run()]);
  assert.deepEqual(["debug/a", "debug/kept", "loss", "_debug/a"].map(hidden), [true, false, false, false]);
  assert.ok(!hiddenBy([run(definition("a", true)), run(definition("a", false), definition("b", true))])("a"));
  assert.ok(hiddenBy([run(definition("A.B", true))])("a.b") && !hiddenBy([run(definition("a.b", true))])("axb"));
  const street = { ...definition("Straße/*", true), folded: "strasse/*" };
  assert.ok(hiddenBy([run(street)])("strasse/a") && !hiddenBy([run(street)])("straße/a"));
});

test("a key that runs spell in other cases is one panel", () => {
  const metrics = ["Loss", "loss", "acc"].map((key) => metric(key));
  const streets = ["STRASSE", "Straße"].map((key) => metric(key, "number", "", "strasse"));
  assert.deepEqual(buildSections(streets, "first", "")[0].panels.map((panel) => [panel.key, panel.folded]), [["STRASSE", "strasse"]]);
  assert.deepEqual(buildSections(metrics, "first", "")[0].panels.map((panel) => panel.key), ["acc", "Loss"]);
  assert.equal(readCell({ _step: 1, Said: "a" }, "said"), "a");
  assert.equal(readCell({ _step: 1, Said: "a", said: "b" }, "said"), "b");
  assert.equal(readCell({ _step: 1, _timestamp: 2, _runtime: 3 }, "said"), undefined);
  assert.equal(readCell({ _step: 1, Straße: "a" }, "STRASSE"), "a");
});

test("the system metrics of all ranks are one panel with a member for each, or for one rank only", () => {
  const system = ["system/cpu", "system/rank10/cpu", "system/rank2/cpu", "system/rank2/gpu.0.power"].map((key) => metric(key, "number", "system"));
  const metrics = [metric("loss"), ...system];
  const panels = (rank) => buildSections(combineRanks(metrics, rank), "first", "").flatMap((section) => section.panels);
  assert.deepEqual(panels("").map(({ key, label, timed }) => [key, label, timed]), [["loss", "loss", false], ["system/cpu", "cpu", true], ["system/gpu.0.power", "gpu.0.power", true]]);
  assert.deepEqual(panels("")[1].members.map(({ rank, key }) => [rank, key]), [["rank0", "system/cpu"], ["rank2", "system/rank2/cpu"], ["rank10", "system/rank10/cpu"]]);
  assert.deepEqual(panels("")[1].members[1].folded, "system/rank2/cpu");
  assert.deepEqual(panels("rank10").map(({ key, members }) => [key, members.map(({ rank }) => rank)]), [["loss", []], ["system/cpu", ["rank10"]]]);
});

test("texts of the system stay apart, and are those of the chosen rank", () => {
  const metrics = ["system/host", "system/rank1/host"].map((key) => metric(key, "string", "system"));
  assert.deepEqual(combineRanks(metrics, "").map(({ key }) => key), ["system/host", "system/rank1/host"]);
  assert.deepEqual(combineRanks(metrics, "rank0").map(({ key }) => key), ["system/host"]);
});

test("sections have a chosen order, and new ones stay after the section that precedes them", () => {
  const sections = ["Charts", "train", "new", "val", "system"].map((name) => ({ name, panels: [], quiet: false }));
  const names = (order) => orderSections(sections, order).map(({ name }) => name);
  assert.deepEqual(names([]), ["Charts", "train", "new", "val", "system"]);
  assert.deepEqual(names(["val", "train", "gone", "Charts", "system"]), ["val", "train", "new", "Charts", "system"]);
  assert.deepEqual(names(["system"]), ["Charts", "train", "new", "val", "system"]);
});

test("a name is moved before another one", () => {
  const names = ["a", "b", "c"];
  assert.deepEqual([moveName(names, "a", 2), moveName(names, "a", 3), moveName(names, "c", 0), moveName(names, "b", 9), moveName(names, "b", 1)].map((list) => list.join("")), ["bac", "bca", "cab", "acb", "abc"]);
});
