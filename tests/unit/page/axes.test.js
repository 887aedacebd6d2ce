import assert from "node:assert/strict";
import { test } from "node:test";
import { axisTitle, increments, linearLabels, logLabels, logTicks, metricUnit, valueRange } from "../../../query/stepwell_query/web/js/charts/axes.js";
import { formatZoom } from "../../../query/stepwell_query/web/js/panels/view_chips.js";

test("system metrics have the unit of their key, whatever their rank or GPU", () => {
  const keys = ["system/cpu", "system/rank1/process.memory", "system/gpu.3.memory.used", "system/gpu.0.power", "system/network.sent", "system/unknown"];
  assert.deepEqual(keys.map((key) => metricUnit(key, true)), ["%", "B", "B", "W", "B/s", ""]);
  assert.equal(metricUnit("system/cpu", false), "");
});

test("shares of 100 are shown from 0 to 100, bytes from 0, other values closely", () => {
  assert.deepEqual(valueRange([90, 97], { unit: "%", log: false }), [0, 100]);
  assert.deepEqual(valueRange([10, 200], { unit: "%", log: false })[0], 0);
  assert.ok(valueRange([10, 200], { unit: "%", log: false })[1] > 200);
  assert.deepEqual(valueRange([100, 200], { unit: "B", log: false }), [0, 212]);
  assert.deepEqual(valueRange([100, 200], { unit: "", log: false }), [94, 206]);
  assert.ok(valueRange([100, 200], { unit: "%", log: true })[0] > 0);
  assert.deepEqual([valueRange(null, { unit: "", log: false }), valueRange(null, { unit: "%", log: false })], [[0, 1], [0, 100]]);
});

test("a logarithmic axis has 1, 2 and 5, or powers of ten, or even steps, and never a single label", () => {
  assert.deepEqual(logTicks(0.01, 3, 9), [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2]);
  assert.deepEqual(logTicks(0.01, 3, 6), [0.01, 0.1, 1]);
  assert.deepEqual(logTicks(1e-8, 1e4, 6), [1e-8, 1e-5, 0.01, 10, 10_000]);
  assert.deepEqual(logTicks(0.3, 0.9, 6), [0.4, 0.6, 0.8]);
  assert.deepEqual(logTicks(1_000, 20_000, 9, "B"), [1_024, 2_048, 4_096, 8_192, 16_384]);
  for (const [low, high] of [[1.1, 1.9], [6, 9], [99, 101], [1e-5, 1.5e-5], [1, 1.000001]]) assert.ok(logTicks(low, high, 6).length >= 2);
  assert.deepEqual(logLabels([0.4, 0.6, 0.8], ""), ["0.4", "0.6", "0.8"]);
  assert.deepEqual(logLabels([500, 1_000, 2_000], ""), ["500", "1k", "2k"]);
});

test("time on the x axis has one unit, by the distance of its labels", () => {
  assert.deepEqual(linearLabels([0, 1_800, 3_600], "s"), ["0", "30 min", "60 min"]);
  assert.deepEqual(linearLabels([0, 0.5, 1], "s"), ["0", "0.5 s", "1.0 s"]);
  assert.ok(increments("s")?.includes(900));
  assert.deepEqual([axisTitle("_step"), axisTitle("train/epoch")], ["step", "train/epoch"]);
});

test("the chip of a zoom names its axis and its range", () => {
  assert.equal(formatZoom({ axis: "_step", low: 10_234.3, high: 20_432.9 }), "step 10,230 – 20,430");
  assert.equal(formatZoom({ axis: "_runtime", low: 60, high: 3_660 }), "time since the start 1 min – 1 h 1 min");
  assert.equal(formatZoom({ axis: "epoch", low: 0.25, high: 0.75 }), "epoch 0.25 – 0.75");
});
