import assert from "node:assert/strict";
import { test } from "node:test";
import { groupSeriesId, cacheKey, planRequests, splitRequest } from "../../../query/stepwell_query/web/js/series/request_planner.js";

const run = (name, more = {}) => ({ of: name, runs: [name], ...more });
const group = (name, runs, more = {}) => ({ of: groupSeriesId(name), group: name, runs, ...more });
const want = (key, parts, more = {}) => ({ want: { wanted: { key, x: "", points: 1_000, parts, ...more } }, parts });

test("what panels want of the same runs over the same steps is one question", () => {
  const runs = [run("a"), run("b")];
  const [one, two, zoomed] = [want("loss", runs), want("acc", runs), want("loss", [run("a", { from: 5, to: 9 })])];
  const found = planRequests([one, two, zoomed]);
  assert.deepEqual(found.map(({ asked }) => [asked.runs, asked.keys, asked.from, asked.to]), [
    [["a", "b"], ["loss", "acc"], undefined, undefined],
    [["a"], ["loss"], 5, 9],
  ]);
  assert.deepEqual(found[0].wants, new Set([one.want, two.want]));
});

test("groups are asked for as groups, and smoothing by its weight", () => {
  const [summed, smoothed] = planRequests([want("loss", [group("x", ["a", "b"]), group("y", ["c"])]), want("loss", [run("a")], { smoothing: 0.5 })]);
  assert.deepEqual([summed.asked.groups, summed.asked.filled, summed.asked.runs], [{ x: ["a", "b"], y: ["c"] }, true, undefined]);
  assert.deepEqual([smoothed.asked.smoothing, smoothed.asked.smoothing_parts], [0.5, 1_000]);
});

test("a question is cut into such as the service answers, and nothing is left out", () => {
  const keys = Array.from({ length: 100 }, (_, at) => `k${at}`);
  const runs = Array.from({ length: 1_200 }, (_, at) => `r${at}`);
  for (const asked of [{ runs, keys, points: 1_000 }, { groups: { a: runs.slice(0, 400), b: runs.slice(400, 800), c: runs.slice(800) }, keys, points: 1_000 }]) {
    const parts = splitRequest(asked);
    const cells = new Set();
    for (const part of parts) {
      const own = part.runs ?? Object.values(part.groups).flat();
      assert.ok(own.length * part.keys.length <= 500);
      for (const one of own) for (const key of part.keys) cells.add(`${one} ${key}`);
    }
    assert.equal(cells.size, runs.length * keys.length);
  }
});

test("a group of other runs is kept in another place", () => {
  const wanted = { key: "k", x: "", points: 1, parts: [] };
  assert.notEqual(cacheKey(wanted, group("g", ["a"])), cacheKey(wanted, group("g", ["a", "b"])));
  assert.notEqual(cacheKey(wanted, run("a")), cacheKey({ ...wanted, smoothing: 0.5 }, run("a")));
  assert.equal(cacheKey(wanted, run("a")), cacheKey({ ...wanted, key: "K" }, run("a")));
});
