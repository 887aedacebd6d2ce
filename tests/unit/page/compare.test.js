import assert from "node:assert/strict";
import { test } from "node:test";
import { compareRuns, comparedRuns } from "../../../query/stepwell_query/web/js/runs/comparison.js";
import { comparisonMarkdown } from "../../../query/stepwell_query/web/js/runs/comparison_markdown.js";
import { describeDivergence, divergedFirst, findDiverged } from "../../../query/stepwell_query/web/js/runs/divergence.js";
import { RUN_FIELDS } from "./run_fields_sample.js";

const run = (id, summary = {}, more = {}) => ({ run_id: id, name: id, state: "finished", last_step: 100, tags: [], config: {}, summary, ...more });
const sweep = (key, values) => values.map((value, at) => run(`r${at}`, { [key]: value }));
const ids = (runs) => [...findDiverged(runs).keys()];

test("NaN, the infinities and values far on the bad side of a loss are diverged", () => {
  const runs = sweep("train/loss", [0.2, 0.25, "NaN", 0.3, 9, 0.22, "Infinity", 0.001]);
  const found = findDiverged(runs);
  assert.deepEqual([...found].map(([id, [first]]) => [id, first.mark]), [["r2", "NaN"], ["r4", "far"], ["r6", "∞"]]);
  assert.deepEqual(divergedFirst(runs, found).slice(0, 4).map(({ run_id }) => run_id), ["r2", "r6", "r4", "r0"]);
  assert.equal(describeDivergence(found.get("r4"), String), "train/loss ended at 9, far from the other runs");
  assert.equal(describeDivergence(found.get("r2"), String), "train/loss ended as NaN");
});

test("an accuracy is bad where it is low, and a metric without a direction does not count next to a loss", () => {
  assert.deepEqual(ids(sweep("val/acc", [0.9, 0.91, 0.92, 0.1, 0.93])), ["r3"]);
  assert.deepEqual(ids([0.1, 0.1, 0.1, 0.1, 50].map((lr, at) => run(`r${at}`, { loss: 1, lr }))), []);
  assert.deepEqual(ids(sweep("score", [1, 1.1, 0.9, 1, 50])), ["r4"]);
});

test("small differences, few runs, and a metric that most runs have as NaN, say nothing", () => {
  assert.deepEqual(ids(sweep("loss", [0.3, 0.3, 0.3, 0.3, 0.301])), []);
  assert.deepEqual(ids(sweep("loss", [0.3, 0.3, 100])), []);
  assert.deepEqual(ids(sweep("f1", ["NaN", "NaN", "NaN", 0.5])), []);
  assert.deepEqual(ids(sweep("loss", [0, 0, 0, 0, 3])), ["r4"]);
  assert.deepEqual(ids([]), []);
});

test("a run that has just begun is not far from the others", () => {
  const young = run("young", { loss: 7 }, { state: "running", last_step: 3 });
  assert.deepEqual(ids([...sweep("loss", [0.3, 0.3, 0.3, 0.3, 0.3]), young]), []);
  assert.deepEqual(ids([...sweep("loss", [0.3, 0.3, 0.3, 0.3, 0.3]), { ...young, last_step: 90 }]), ["young"]);
});

const a = run("a", { loss: 0.5, "val/acc": 0.9 }, { config: { lr: 0.1, opt: { name: "adam" }, off: null }, tags: ["x"], host: "h" });
const b = run("b", { loss: 0.4 }, { config: { lr: 0.1, opt: { name: "sgd" } }, host: "h" });

test("rows are metrics by importance, config and metadata, and know whether runs differ", () => {
  const [summary, config, about] = compareRuns([a, b], RUN_FIELDS);
  assert.deepEqual(summary.rows.map(({ label, values, differs }) => [label, values, differs]), [["loss", [0.5, 0.4], true], ["val/acc", [0.9, undefined], true]]);
  assert.deepEqual(config.rows.map(({ label, values, differs }) => [label, values, differs]), [["lr", [0.1, 0.1], false], ["off", [null, undefined], true], ["opt.name", ["adam", "sgd"], true]]);
  const named = Object.fromEntries(about.rows.map(({ field, differs }) => [field, differs]));
  assert.deepEqual([named.host, named.tags, named.run_id, "notes" in named, "name" in named], [false, true, true, false, false]);
});

test("the baseline comes first, once", () => {
  assert.deepEqual(comparedRuns([a, b], b).map(({ run_id }) => run_id), ["b", "a"]);
  assert.deepEqual(comparedRuns([a], b).map(({ run_id }) => run_id), ["b", "a"]);
  assert.deepEqual(comparedRuns([a, b], undefined), [a, b]);
});

test("Markdown has links, differences from the baseline, and no markup of names", () => {
  const odd = { ...b, name: "b|*x*\n<i>" };
  const text = comparisonMarkdown([a, odd], compareRuns([a, odd], RUN_FIELDS).slice(0, 2), { base: "a", address: "http://x/?compare=diff", href: ({ run_id }) => `http://x/${run_id}` });
  const lines = text.split("\n");
  assert.equal(lines[0], "[Comparison of 2 runs](http://x/?compare=diff)");
  assert.equal(lines[2], "|  | [a](http://x/a) (baseline) | [b\\|\\*x\\* \\<i\\>](http://x/b) |");
  assert.ok(lines.includes("| loss | 0.5 | 0.4 −0.1 (−20%) |"));
  assert.ok(lines.includes("| val/acc | 0.9 |  |"));
  assert.ok(lines.includes("| lr | 0.1 | 0.1 ±0 |"));
});
