import assert from "node:assert/strict";
import { test } from "node:test";
import { includesRank, nodeChoices, parseNodes } from "../../../query/stepwell_query/web/js/series/nodes.js";
import { compareRanks } from "../../../query/stepwell_query/web/js/series/rank_stats.js";
import { mostWriters, parseStreamKey, streamRanks } from "../../../query/stepwell_query/web/js/series/ranks.js";

const metric = (key, stream = "", writers = 0) => ({ key, folded: key, kind: "number", stream, first: 0, last: 1, runs: 1, writers });

/** A rank's rows at single steps. */
const rank = (writer, values, more = {}) => {
  const step = values.map((_, at) => at);
  const series = {
    writer, step, x: step.map((at) => 100 + at), value: values, mean: values, min: values, max: values, width: 1, last: values.length - 1,
    counts: values.map(() => 1), nans: values.map((value) => (Number.isNaN(value) ? 1 : 0)), total: values.length,
  };
  return { ...series, ...more };
};
const names = ({ ranks }) => ranks.map(({ name }) => name);

test("ranks are in the keys of streams, and plain keys are those of the first", () => {
  assert.deepEqual(parseStreamKey("system/rank1/gpu.0.power"), { rank: "rank1", plain: "system/gpu.0.power" });
  assert.deepEqual(parseStreamKey("console/rank0/fork-12/stdout"), { rank: "rank0/fork-12", plain: "console/stdout" });
  assert.deepEqual(parseStreamKey("system/cpu"), { rank: "", plain: "system/cpu" });
  const metrics = [metric("a/b/c"), metric("system/cpu", "system"), metric("system/rank10/cpu", "system"), metric("console/rank2/stdout", "console")];
  assert.deepEqual(streamRanks(metrics), ["rank0", "rank2", "rank10"]);
  assert.deepEqual(streamRanks(metrics, "system"), ["rank0", "rank10"]);
  assert.deepEqual(streamRanks(metrics.slice(0, 2)), []);
  assert.deepEqual(streamRanks([metric("console/stdout", "console"), metric("console/fork-1/stdout", "console")]), ["fork-1", "main process"]);
});

test("a choice is all ranks, one, or those of a node, by the text that each logs", () => {
  const rows = [
    { _step: 0, "system/host": "gpu-10", "system/rank1/host": "gpu-10", "system/rank2/host": "gpu-9", "system/rank2/cpu": 3 },
    { _step: 7, "system/rank1/host": "gpu-9" },
  ];
  const nodes = parseNodes(rows, true);
  // A rank that was resumed on another node is there now.
  assert.deepEqual([...nodes], [["rank0", "gpu-10"], ["rank1", "gpu-9"], ["rank2", "gpu-9"]]);
  assert.deepEqual(nodeChoices(nodes), [{ value: "node:gpu-9", name: "node gpu-9 (2 ranks)" }, { value: "node:gpu-10", name: "node gpu-10 (1 rank)" }]);
  assert.deepEqual(nodeChoices(new Map([["rank0", "one"], ["rank1", "one"]])), []);
  const chosen = (choice) => ["rank0", "rank1", "rank2", "rank3"].filter((rank) => includesRank(choice, rank, nodes));
  assert.deepEqual(chosen(""), ["rank0", "rank1", "rank2", "rank3"]);
  assert.deepEqual([chosen("rank3"), chosen("node:gpu-9"), chosen("node:gpu-8"), chosen("gpu-9")], [["rank3"], ["rank1", "rank2"], [], []]);
  assert.deepEqual([...parseNodes([{ "system/host": "a" }], false).keys()], ["main process"]);
});

test("a run has ranks if a metric has several writers", () => {
  assert.equal(mostWriters([]), 0);
  assert.equal(mostWriters([metric("lr", "", 1), metric("loss", "", 8)]), 8);
});

test("the rank that differs most comes first, and the one with the lowest step is the slowest", () => {
  const found = compareRanks([rank("rank0", [1, 1, 1, 1]), rank("rank1", [1, 1, 1]), rank("rank2", [1, 1, 4, 4])]);
  assert.deepEqual([names(found)[0], found.different.name, found.slowest.name], ["rank2", "rank2", "rank1"]);
  const [first] = found.ranks;
  assert.deepEqual([first.step, first.time, first.last, first.mean, first.min, first.max, first.nans, first.rows], [3, 103, 4, 2.5, 1, 4, 0, 4]);
  // Differences from the mean of all ranks: 0, 0, 2 and 1.5.
  assert.ok(Math.abs(first.deviation - Math.sqrt((2 ** 2 + 1.5 ** 2) / 4)) < 1e-12);
});

test("of ranks at one step, the slowest reached it last", () => {
  const late = rank("rank1", [1, 1], { x: [100, 109] });
  assert.equal(compareRanks([rank("rank0", [1, 1]), late, rank("rank2", [1, 1])]).slowest.name, "rank1");
  const together = compareRanks([rank("rank0", [1, 1]), rank("rank1", [1, 1])]);
  assert.deepEqual([together.slowest, together.different], [null, null]);
});

test("NaN on one rank makes it differ most, whatever the deviations; NaN on all does not", () => {
  const found = compareRanks([rank("rank0", [1, 1]), rank("rank1", [1, NaN]), rank("rank2", [9, 9])]);
  assert.deepEqual([found.different.name, found.different.nans], ["rank1", 1]);
  assert.ok(Number.isNaN(found.different.last) && found.different.mean === 1);
  const all = compareRanks([rank("rank0", [NaN]), rank("rank1", [NaN])]);
  assert.deepEqual([all.different, all.ranks[0].deviation, all.ranks[0].mean], [null, NaN, NaN]);
});

test("buckets of different widths are compared by the widest", () => {
  const wide = rank("rank0", [2, 2], { step: [1, 3], width: 2, counts: [2, 2], nans: [0, 0], last: 3 });
  const found = compareRanks([wide, rank("rank1", [1, 3, 2, 2])]);
  assert.deepEqual(found.ranks.map(({ deviation }) => deviation), [0, 0]);
  assert.deepEqual(compareRanks([]), { ranks: [], slowest: null, different: null });
  assert.deepEqual(compareRanks([rank("rank0", [1])]).slowest, null);
});
