import assert from "node:assert/strict";
import { test } from "node:test";
import { loadServiceInfo } from "../../../query/stepwell_query/web/js/api/service_info.js";
import { formatMissing, runsWithoutAxis } from "../../../query/stepwell_query/web/js/panels/missing_axis.js";
import { SeriesCache } from "../../../query/stepwell_query/web/js/series/cache.js";

const runs = ["a", "b", "c", "d"].map((name) => ({ name, path: `me/p/${name}` }));

test("runs with values but without positions are listed", () => {
  const series = new Map([["me/p/a", [{ x: [1] }]], ["me/p/b", [{ x: [] }]], ["me/p/c", []], ["me/p/d", []]]);
  const lacks = (path) => path === "me/p/d";
  assert.deepEqual(runsWithoutAxis(runs, series, "epoch", lacks), ["b", "d"]);
  assert.deepEqual(runsWithoutAxis(runs, series, "_step", lacks), []);
  assert.deepEqual(runsWithoutAxis(runs, new Map(), "epoch", lacks), []);
});

test("the note counts the runs, and the list is bounded", () => {
  assert.deepEqual(formatMissing([], "epoch"), { note: "", list: "" });
  assert.deepEqual(formatMissing(["b"], "epoch"), { note: "1 run has no epoch", list: "b" });
  const { note, list } = formatMissing(Array.from({ length: 23 }, (_, at) => `r${at}`), "epoch");
  assert.equal(note, "23 runs have no epoch");
  assert.deepEqual(list.split("\n").slice(-2), ["r19", "and 3 more"]);
});

test("series over an axis that their runs have not logged are requested once, until a run may have begun to log it", async () => {
  const timers = [];
  const frames = [];
  Object.assign(globalThis, { window: { setTimeout: (call) => timers.push(call) }, requestAnimationFrame: (call) => frames.push(call) });
  const requested = [];
  globalThis.fetch = async (url, init) => {
    if (url.endsWith("/connect")) return Response.json({ limits: { series: 1_000, values: 2_000_000 }, run_fields: [] });
    requested.push(JSON.parse(init.body));
    return Response.json({ detail: "not logged", errors: [{ field: "x" }] }, { status: 422 });
  };
  const settle = async () => {
    for (let round = 0; round < 5; round += 1) {
      for (const call of [...timers.splice(0), ...frames.splice(0)]) call();
      await new Promise((done) => setImmediate(done));
    }
  };
  await loadServiceInfo();
  const cache = new SeriesCache();
  const received = [];
  const paths = runs.map(({ path }) => path);
  cache.metricsChanged(new Map([["loss", 4]]));
  cache.subscribe({ key: "loss", folded: "loss", x: "epoch", points: 1_000, parts: paths.map((path) => ({ id: path, runs: [path] })) }, (series, error) => received.push([series, error]));
  await settle();
  assert.deepEqual(requested.map((body) => body.runs), [paths]);
  assert.ok(paths.every((path) => cache.lacksAxis(path, "epoch") && !cache.lacksAxis(path, "other")));
  assert.deepEqual([...received.at(-1)[0].values()], [[], [], [], []]);
  assert.equal(received.at(-1)[1], null);
  cache.runsChanged(paths.map((path) => [path, 99]));
  await settle();
  cache.metricsChanged(new Map([["loss", 4]]));
  await settle();
  assert.equal(requested.length, 1);
  cache.metricsChanged(new Map([["loss", 4], ["epoch", 1]]));
  await settle();
  assert.equal(requested.length, 2);
});
