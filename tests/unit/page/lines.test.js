import assert from "node:assert/strict";
import { test } from "node:test";
import { alignLines, nearest } from "../../../query/stepwell_query/web/js/charts/align.js";
import { aggregateCurves, union } from "../../../query/stepwell_query/web/js/series/groups.js";
import { groupSeriesId } from "../../../query/stepwell_query/web/js/series/request_planner.js";
import { pathOf } from "../../../query/stepwell_query/web/js/charts/highlight.js";
import { extent, buildLines, haveValues, sortByX, stepsWithin } from "../../../query/stepwell_query/web/js/charts/lines.js";

const points = (x, value, more = {}) => ({
  key: "k", kind: "number", axis: "_step", sampled: false, width: 1, x, step: x, value, min: value, max: value, mean: value,
  counts: x.map(() => 1), nans: value.map((number) => (Number.isNaN(number) ? 1 : 0)), ...more,
});
const near = (actual, expected) => actual.forEach((value, at) => assert.ok(Object.is(value, expected[at]) || Math.abs(value - expected[at]) < 1e-6, `${actual} is not ${expected}`));
const none = { kind: "none", amount: 0 };
const single = (id) => ({ id, name: id, color: "#000000", runs: [id], group: false });

test("a run's line draws rows as they are, and means with an envelope where it was sampled", () => {
  const raw = buildLines([single("a")], new Map([["a", [points([0, 1], [3, 4])]]]), none);
  assert.deepEqual([raw[0].y, raw[0].low], [[3, 4], null]);
  const sampled = points([3, 7], [3, 4], { sampled: true, mean: [1, 2], min: [0, 0], max: [9, 9] });
  const [line] = buildLines([single("a")], new Map([["a", [sampled]]]), none);
  assert.deepEqual([line.y, line.low, line.high, line.last], [[1, 2], [0, 0], [9, 9], [3, 4]]);
});

test("a smoothed line keeps its raw values", () => {
  const [line] = buildLines([single("a")], new Map([["a", [points([0, 1], [1, 0])]]]), { kind: "ema", amount: 0.5 });
  assert.deepEqual(line.raw, [1, 0]);
  assert.ok(Math.abs(line.y[1] - 1 / 3) < 1e-12);
});

test("smoothing does not depend on bucket widths, and averages of the service are drawn unchanged", () => {
  const rows = Array.from({ length: 4_000 }, (_, at) => Math.sin(at / 700));
  const cut = (width) => {
    const x = Array.from({ length: rows.length / width }, (_, at) => (at + 1) * width - 1);
    const mean = x.map((end) => rows.slice(end + 1 - width, end + 1).reduce((sum, value) => sum + value) / width);
    return points(x, mean, { sampled: true, mean, counts: x.map(() => width), nans: x.map(() => 0) });
  };
  const smooth = (given) => buildLines([single("a")], new Map([["a", [given]]]), { kind: "ema", amount: 0.98 })[0].y;
  const [fine, coarse] = [smooth(cut(4)), smooth(cut(8))];
  coarse.forEach((value, at) => assert.ok(Math.abs(value - fine[2 * at + 1]) < 1e-3));
  assert.deepEqual(smooth({ ...cut(1_000), smoothed: [1, 2, 3, 4] }), [1, 2, 3, 4]);
});

test("a group that the service has aggregated is one line", () => {
  const summed = points([0, 8], [1, 2], { sampled: true, width: 8, min: [0, NaN], max: [2, NaN], counts: [3, 1], nans: [0, 0] });
  const group = { ...single("g"), runs: ["a", "b", "c"], group: true };
  const [line] = buildLines([group], new Map([[groupSeriesId("g"), [summed, { ...summed, kind: "bool" }]]]), none);
  assert.deepEqual([line.name, line.y, line.low, line.band], ["g (3)", [1, 2], [0, NaN], "± std"]);
});

test("columns share one x: a missing point differs from a gap", () => {
  const lines = buildLines([single("a"), single("b")], new Map([["a", [points([0, 2], [1, NaN])]], ["b", [points([1, 2], [5, -6])]]]), none);
  assert.deepEqual(alignLines(lines, () => false), { x: [0, 1, 2], columns: [[1, undefined, null], [undefined, 5, -6]] });
  assert.deepEqual(alignLines(lines, () => true).columns[1], [undefined, 5, null]);
});

test("the nearest point is found", () => {
  assert.deepEqual([nearest([], 1), nearest([0, 10, 20], 14), nearest([0, 10], 99), nearest([0, 10], -5)], [-1, 1, 1, 0]);
});

test("points over a decreasing metric are sorted by it", () => {
  const result = sortByX(points([2, 1, NaN, 3], [20, 10, 99, 30], { step: [0, 1, 2, 3] }));
  assert.deepEqual([result.x, result.value, result.step], [[1, 2, 3], [10, 20, 30], [1, 0, 3]]);
});

test("a group's mean and deviation count a run only within its own range", () => {
  const result = aggregateCurves([{ x: [0, 2, 4], y: [0, 2, 4] }, { x: [0, 1, 2], y: [2, 3, 4] }, { x: [4], y: [NaN] }]);
  assert.deepEqual(result.x, [0, 1, 2, 4]);
  assert.deepEqual(result.mean, [1, 2, 3, 4]);
  // Of a sample: one run alone has no deviation.
  near(result.high, [1 + Math.SQRT2, 2 + Math.SQRT2, 3 + Math.SQRT2, NaN]);
  assert.deepEqual(result.counts, [2, 2, 2, 1]);
});

test("a group of large values keeps their digits", () => {
  const result = aggregateCurves([{ x: [0], y: [1e9 + 1] }, { x: [0], y: [1e9 - 1] }]);
  assert.deepEqual(result.mean, [1e9]);
  near([result.high[0] - result.mean[0]], [Math.SQRT2]);
});

test("grids that are the same are not merged again", () => {
  const x = [1, 2, 3];
  assert.equal(union([x, [1, 2, 3]]), x);
  assert.deepEqual(union([[1, 3], [2, 3, 4]]), [1, 2, 3, 4]);
  assert.deepEqual(union([]), []);
});

test("a zoom over another axis names the steps that it shows, one point more on each side", () => {
  const over = points([10, 20, 30, 40], [0, 0, 0, 0], { step: [1, 2, 3, 4], axis: "_timestamp" });
  assert.deepEqual(stepsWithin([over], [15, 35]), [1, 4]);
  assert.deepEqual(stepsWithin([over], [21, 29]), [2, 3]);
  assert.equal(stepsWithin([over], [50, 60]), null);
});

test("the y axis holds the envelope, and leaves out outliers if requested", () => {
  const value = Array.from({ length: 100 }, (_, at) => at % 10);
  value[50] = 1e6;
  const x = value.map((_, at) => at);
  const lines = buildLines([single("a")], new Map([["a", [points(x, value)]]]), none);
  assert.deepEqual(extent(lines, -Infinity, Infinity, { positive: false, outliers: false }), [0, 1e6]);
  assert.ok(extent(lines, -Infinity, Infinity, { positive: false, outliers: true })[1] < 10);
  assert.deepEqual(extent(lines, 0, 5, { positive: true, outliers: false }), [1, 5]);
  assert.equal(extent(lines, 1000, 2000, { positive: false, outliers: false }), null);
});

test("the ranks of a run are a line each, without envelopes", () => {
  const logged = ["rank0", "", "rank2"].map((writer) => points([0, 1], [3, 4], { writer, sampled: true }));
  const lines = buildLines([{ ...single("a"), ranks: "lines" }], new Map([["a", logged]]), none);
  assert.deepEqual(lines.map(({ name, low, rank }) => [name, low, rank]), [["rank0", null, true], ["(unnamed)", null, true], ["rank2", null, true]]);
  assert.equal(new Set(lines.flatMap(({ id, color }) => [id, color])).size, 6);
});

test("a band over ranks is the service's, or over another axis the page's", () => {
  const band = points([0], [2], { sampled: true, min: [1], max: [3], counts: [2], owners: { low: ["rank1"], high: ["rank0"] } });
  const [first] = buildLines([{ ...single("a"), ranks: "band" }], new Map([["a", [band, { ...band, kind: "bool" }]]]), none);
  assert.deepEqual([first.name, first.y, first.low, first.high, first.owners.low, first.band], ["a (2 ranks)", [2], [1], [3], ["rank1"], "ranks"]);
  const apart = [points([0, 1], [1, NaN], { writer: "rank0" }), points([0, 1], [3, 5], { writer: "rank1" })];
  const [second] = buildLines([{ ...single("a"), ranks: "band" }], new Map([["a", apart]]), none);
  assert.deepEqual([second.name, second.y, second.low, second.high], ["a (2 ranks)", [2, 5], [1, 5], [3, 5]]);
  assert.deepEqual(second.owners, { low: ["rank0", "rank1"], high: ["rank1", "rank1"] });
});

test("a line belongs to its run, group or rank", () => {
  const [alone] = buildLines([single("a")], new Map([["a", [points([0], [1], { kind: "bool" })]]]), none);
  const [rank] = buildLines([{ ...single("a"), ranks: "lines" }], new Map([["a", [points([0], [1], { writer: "rank2" })]]]), none);
  assert.deepEqual([alone.id, alone.owner, rank.owner], ["a (bool)", "a", "rank2"]);
});

test("a range has values if a line has points in it or crosses it", () => {
  const lines = buildLines([single("a")], new Map([["a", [points([10, 20], [1, 2])]]]), none);
  assert.deepEqual([[0, 9], [0, 10], [12, 13], [21, 30]].map((range) => haveValues(lines, range)), [false, true, true, false]);
  assert.equal(haveValues([], [0, 1]), false);
});

test("the path of a highlighted line has a gap where a value has no position", () => {
  const place = (value, scale) => (scale === "y" && value <= 0 ? NaN : value);
  assert.equal(pathOf({ x: [0, 1, 2, 3, 4], y: [1, 2, NaN, -1, 5] }, place), "M0.0 1.0L1.0 2.0M4.0 5.0");
});
