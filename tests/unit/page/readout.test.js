import assert from "node:assert/strict";
import { test } from "node:test";
import { differingParts } from "../../../query/stepwell_query/web/js/charts/names.js";
import { buildReadout, findHits, pointAt } from "../../../query/stepwell_query/web/js/charts/readout.js";

const line = (name, x, y, more = {}) => ({
  id: name, owner: name, name, color: "#000000", x, y, raw: null, low: null, high: null, step: x, counts: x.map(() => 1), nans: x.map(() => 0), last: y, sampled: false, dash: false, band: "min–max", ...more,
});
const options = { axis: "_step", at: 10, unit: "", most: 2 };

test("a position has a point within the line's range, which a mean gap extends", () => {
  assert.deepEqual([-11, -9, 4, 29, 31].map((at) => pointAt([0, 10, 20], at)), [-1, 0, 0, 2, -1]);
  assert.deepEqual([pointAt([], 1), pointAt([5], 99)], [-1, 0]);
});

test("a line a run, the nearest first, with what all have in common in the title", () => {
  const sampled = (name, value) => line(name, [0, 10], [0, value], { counts: [128, 128], low: [0, value - 1], high: [0, value + 1] });
  const hits = findHits([sampled("far", 30), sampled("near", 1.5), sampled("next", 3), line("gone", [500, 510], [1, 1])], 10, (value) => Math.abs(value - 1));
  const { title, rows, toText } = buildReadout(hits, options);
  assert.equal(title, "step 10 · mean of 128");
  assert.deepEqual(rows.map(({ name, value, notes }) => [name, value, notes]), [
    ["near", "1.5", ["0.5 … 2.5"]],
    ["next", "3", ["2 … 4"]],
  ]);
  assert.deepEqual(toText().split("\n")[1].split("\t"), ["near", "10", "1.5", "", "0.5", "2.5", "128"]);
  assert.equal(toText().split("\n").length, 4);
});

test("the baseline has no difference, the other lines have theirs from its value of the same metric", () => {
  const lines = [line("a", [10], [0.5], { metric: "loss" }), line("b", [10], [0.4], { metric: "loss" }), line("a", [10], [90], { metric: "acc" }), line("c", [10], [3], { metric: "other" })];
  const { rows } = buildReadout(findHits(lines, 10, Math.abs), { ...options, most: 9, base: "a" });
  assert.deepEqual(rows.map(({ name, notes }) => [name, notes]), [["b", ["−0.1 (−20%)"]], ["a", []], ["c", []], ["a", []]]);
});

test("five digits are shown, and all are copied", () => {
  const { rows, toText } = buildReadout(findHits([line("a", [0], [0.1 + 0.2])], 0, Math.abs), { ...options, at: 0 });
  assert.equal(rows[0].value, "0.3");
  assert.equal(toText().split("\t").includes("0.30000000000000004"), true);
});

test("a value without a position comes last, and NaN is counted", () => {
  const hits = findHits([line("a", [0], [NaN], { nans: [2] }), line("b", [0], [5])], 0, Math.abs);
  const { rows } = buildReadout(hits, { ...options, at: 0 });
  assert.deepEqual(rows.map(({ name, value, notes }) => [name, value, notes]), [["b", "5", []], ["a", "NaN", ["2 × NaN"]]]);
});

test("bands name their ranks or number of runs, and smoothed lines the value before", () => {
  const ranks = line("job", [0], [2], { band: "ranks", low: [1], high: [3], counts: [64], owners: { low: ["rank3"], high: ["rank9"] } });
  const group = line("arm", [0], [2], { band: "± std", low: [1], high: [3], counts: [2] });
  const smooth = line("run", [0], [2], { raw: [2.5] });
  const notes = [ranks, group, smooth].map((one) => buildReadout(findHits([one], 0, Math.abs), { ...options, at: 0 }).rows[0].notes);
  assert.deepEqual(notes, [["1 rank3 … 3 rank9", "64 ranks"], ["± 1", "2 runs"], ["not smoothed 2.5"]]);
});

test("long names are shown by what differs between them", () => {
  const names = ["resnet-lion-lr0.1-seed1-imagenet", "resnet-lion-lr0.2-seed1-imagenet"];
  assert.deepEqual(differingParts(names), ["…lr0.1-…", "…lr0.2-…"]);
  assert.deepEqual(differingParts(["rate 0.1", "rate 0.3"]), ["rate 0.1", "rate 0.3"]);
  assert.deepEqual(differingParts([names[0], names[0]]), [names[0], names[0]]);
  assert.deepEqual(differingParts(["a-very-long-name-of-a-run", "a-very-long-name-of-a-run-2"]), ["…run", "…run-2"]);
});
