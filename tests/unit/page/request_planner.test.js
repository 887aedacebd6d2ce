import assert from "node:assert/strict";
import { test } from "node:test";
import { groupSeriesId, cacheKey, planRequests, pointsPerLine, splitRequest } from "../../../query/stepwell_query/web/js/series/request_planner.js";

const LIMITS = { series: 1_000, values: 2_000_000 };
const keysOf = (request) => request.metrics.map(({ key }) => key);
const run = (name, more = {}) => ({ id: name, runs: [name], ...more });
const group = (name, runs, more = {}) => ({ id: groupSeriesId(name), group: name, runs, ...more });
const subscribe = (key, parts, more = {}) => ({ subscription: { query: { key, folded: key.toLowerCase(), x: "", points: 1_000, parts, ...more } }, parts });

test("queries of the same runs over the same steps share a request", () => {
  const runs = [run("a"), run("b")];
  const [loss, accuracy, zoomed] = [subscribe("loss", runs), subscribe("acc", runs), subscribe("loss", [run("a", { from: 5, to: 9 })])];
  const plans = planRequests([loss, accuracy, zoomed], LIMITS);
  assert.deepEqual(plans.map(({ request }) => [request.runs, keysOf(request), request.from, request.to]), [
    [["a", "b"], ["loss", "acc"], undefined, undefined],
    [["a"], ["loss"], 5, 9],
  ]);
  assert.deepEqual(plans[0].subscriptions, new Set([loss.subscription, accuracy.subscription]));
});

test("groups are requested as groups, and smoothing by its weight", () => {
  const [aggregated, smoothed] = planRequests([subscribe("loss", [group("x", ["a", "b"]), group("y", ["c"])]), subscribe("loss", [run("a")], { smoothing: 0.5 })], LIMITS);
  assert.deepEqual([aggregated.request.groups, aggregated.request.filled, aggregated.request.runs], [{ x: ["a", "b"], y: ["c"] }, true, undefined]);
  assert.deepEqual([smoothed.request.smoothing, smoothed.request.smoothing_parts], [0.5, 1_000]);
});

test("a request is split into requests within the limits, and nothing is left out", () => {
  const metrics = Array.from({ length: 100 }, (_, at) => ({ key: `k${at}`, folded: `k${at}` }));
  const runs = Array.from({ length: 1_200 }, (_, at) => `r${at}`);
  for (const request of [{ runs, metrics, points: 1_000 }, { groups: { a: runs.slice(0, 400), b: runs.slice(400, 800), c: runs.slice(800) }, metrics, points: 1_000 }]) {
    const parts = splitRequest(request, LIMITS);
    const cells = new Set();
    for (const part of parts) {
      const own = part.runs ?? Object.values(part.groups).flat();
      assert.ok(own.length * part.metrics.length <= 500);
      for (const name of own) for (const { key } of part.metrics) cells.add(`${name} ${key}`);
    }
    assert.equal(cells.size, runs.length * metrics.length);
  }
});

test("groups of different runs have different cache keys", () => {
  const query = { key: "k", folded: "k", x: "", points: 1, parts: [] };
  assert.notEqual(cacheKey(query, group("g", ["a"])), cacheKey(query, group("g", ["a", "b"])));
  assert.notEqual(cacheKey(query, run("a")), cacheKey({ ...query, smoothing: 0.5 }, run("a")));
  assert.equal(cacheKey(query, run("a")), cacheKey({ ...query, key: "K", folded: "k" }, run("a")));
});

test("spellings of one metric are one series of a request, and share a cache key", () => {
  const [one, other] = [subscribe("Straße", [run("a")], { folded: "strasse" }), subscribe("STRASSE", [run("a")], { folded: "strasse" })];
  const [plan, ...more] = planRequests([one, other], LIMITS);
  assert.deepEqual([keysOf(plan.request), plan.subscriptions.size, more], [["Straße"], 2, []]);
  assert.equal(cacheKey(one.subscription.query, run("a")), cacheKey(other.subscription.query, run("a")));
});

test("requests stay within the limits of the service where these are lower than the page's own", () => {
  const request = { runs: Array.from({ length: 30 }, (_, at) => `r${at}`), metrics: [{ key: "k", folded: "k" }], points: 100 };
  assert.deepEqual(splitRequest(request, { series: 12, values: 1e6 }).map((part) => part.runs.length), [12, 12, 6]);
  assert.deepEqual(splitRequest(request, { series: 100, values: 2_000 }).map((part) => part.runs.length), [20, 10]);
});

test("aggregates are cached without an axis or a smoothing, which their requests leave out", () => {
  const query = { key: "k", folded: "k", x: "", points: 1, parts: [] };
  for (const part of [group("g", ["a"]), run("a", { ranks: { mode: "band", writers: 2 } })]) {
    assert.equal(cacheKey({ ...query, x: "_step", smoothing: 0.5 }, part), cacheKey(query, part));
    const { request } = planRequests([subscribe("k", [part], { x: "_step", smoothing: 0.5 })], LIMITS)[0];
    assert.deepEqual([request.x, request.smoothing], [undefined, undefined]);
  }
});

test("ranks are requested as a band or as lines, apart from the primary one, within the limits", () => {
  const query = { key: "k", folded: "k", x: "", points: 1_000, parts: [] };
  const parts = [run("a"), run("a", { ranks: { mode: "band", writers: 64 } }), run("a", { ranks: { mode: "lines", writers: 64 } })];
  assert.equal(new Set(parts.map((part) => cacheKey(query, part))).size, 3);
  const plans = planRequests(parts.map((part) => subscribe("loss", [part])), LIMITS);
  assert.deepEqual(plans.map(({ request }) => request.ranks?.mode), [undefined, "band", "lines"]);
  const metrics = Array.from({ length: 20 }, (_, at) => ({ key: `k${at}`, folded: `k${at}` }));
  for (const mode of ["band", "lines"]) {
    const lengths = splitRequest({ runs: ["a"], ranks: { mode, writers: 64 }, metrics, points: 100 }, LIMITS).map((part) => part.metrics.length);
    assert.deepEqual(lengths, [7, 7, 6]);
  }
  assert.deepEqual([pointsPerLine(1_000, 64), pointsPerLine(1_000, 1_000), pointsPerLine(1_000, 0)], [1_000, 100, 1_000]);
});

test("the metrics of a panel's ranks are requested together, and cached by metric", () => {
  const members = ["system/cpu", "system/rank1/cpu"].map((key) => ({ id: `a ${key}`, runs: ["a"], metric: { key, folded: key } }));
  const one = subscribe("system/cpu", members);
  const plans = planRequests([one, subscribe("system/memory", [run("a")])], LIMITS);
  assert.deepEqual(plans.map(({ request }) => [request.runs, keysOf(request)]), [[["a"], ["system/cpu", "system/rank1/cpu", "system/memory"]]]);
  assert.equal(plans[0].subscriptions.size, 2);
  const { query } = one.subscription;
  assert.notEqual(cacheKey(query, members[0]), cacheKey(query, members[1]));
  assert.equal(cacheKey(query, members[1]), cacheKey({ ...query, folded: "system/rank1/cpu" }, run("a")));
});
