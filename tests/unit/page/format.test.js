import assert from "node:assert/strict";
import { test } from "node:test";
import { ago, bytes, difference, duration, exact, logTickLabel, readable, short, shown, tickLabels } from "../../../query/stepwell_query/web/js/ui/format.js";

test("numbers are short in lists and have all digits under the cursor", () => {
  assert.deepEqual([short(0.1 + 0.2), short(1234567), short(1e-7), short(0), short(-Infinity), short(99999)], ["0.3", "1.235M", "1.00e-7", "0", "-∞", "100000"]);
  assert.equal(exact(0.1 + 0.2), "0.30000000000000004");
});

test("a difference is absolute and relative, and none without two numbers", () => {
  assert.deepEqual([[0.4, 0.5], [1.5, 1], [-1, -2], [3, 0], [2, 2], [5e6, 1]].map(([value, base]) => difference(value, base)), ["−0.1 (−20%)", "+0.5 (+50%)", "+1 (+50%)", "+3", "±0", "+5M (+500,000,000%)"]);
  assert.deepEqual([difference(NaN, 1), difference(1, Infinity)], ["", ""]);
});

test("times and sizes", () => {
  assert.deepEqual([duration(0.5), duration(75), duration(3600), duration(90061), duration(NaN)], ["0.5 s", "1 min 15 s", "1 h", "1 d 1 h", "–"]);
  assert.equal(ago("2026-01-01T00:00:00Z", Date.parse("2026-01-01T01:00:30Z")), "1 h ago");
  assert.deepEqual([bytes(10), bytes(2048), bytes(3 * 2 ** 30)], ["10 B", "2.00 KiB", "3.00 GiB"]);
});

test("any value is one line", () => {
  assert.deepEqual([shown(null), shown(true), shown([1, 2]), shown("x"), shown(0.123456)], ["", "true", "[1,2]", "x", "0.1235"]);
});

test("numbers to be read have five digits, all of their integer part, and separated thousands", () => {
  const plain = [0.1 + 0.2, 123.0625, 12345.678, 1234567.891, 0.00123456789, 1e-7, 1e18, 0, -0.5, NaN, -Infinity];
  assert.deepEqual(plain.map((value) => readable(value)), ["0.3", "123.06", "12,346", "1,234,568", "0.0012346", "1e-7", "1e18", "0", "-0.5", "NaN", "-∞"]);
  assert.deepEqual([readable(3.2e9, "B"), readable(5, "B/s"), readable(93.456, "%"), readable(61, "°C")], ["2.9802 GiB", "5 B/s", "93.456%", "61 °C"]);
});

test("the labels of an axis have one unit and the same decimals", () => {
  assert.deepEqual(tickLabels([0, 50_000, 100_000]), ["0", "50k", "100k"]);
  assert.deepEqual(tickLabels([2_000, 4_000]), ["2,000", "4,000"]);
  assert.deepEqual(tickLabels([0, 2.5, 5]), ["0", "2.5", "5.0"]);
  assert.deepEqual(tickLabels([1e6, 1.5e6]), ["1.0M", "1.5M"]);
  assert.deepEqual(tickLabels([0, 2e-5, 4e-5]), ["0", "2e-5", "4e-5"]);
  assert.deepEqual(tickLabels([1.00001, 1.00002]), ["1.00001", "1.00002"]);
  assert.deepEqual(tickLabels([1e16, 2e16]), ["1e16", "2e16"]);
  assert.deepEqual([tickLabels([]), tickLabels([5])], [[], ["5"]]);
  assert.deepEqual(tickLabels([0, 2 ** 30, 2 ** 31], "B"), ["0", "1 GiB", "2 GiB"]);
  assert.deepEqual(tickLabels([0, 50, 100], "%"), ["0", "50%", "100%"]);
});

test("the labels of a logarithmic axis have each the unit of its size", () => {
  assert.deepEqual([2e-5, 0.01, 500, 1_000, 50_000].map((tick) => logTickLabel(tick)), ["2e-5", "0.01", "500", "1k", "50k"]);
  assert.equal(logTickLabel(2 ** 22, "B/s"), "4 MiB/s");
});
