import assert from "node:assert/strict";
import { test } from "node:test";
import { ema, gaussian, runningAverage, smoothCurve } from "../../../query/stepwell_query/web/js/series/smoothing.js";

const near = (actual, expected) => actual.forEach((value, at) => assert.ok(Math.abs(value - expected[at]) < 1e-12, `${actual} is not ${expected}`));

test("the exponential average is debiased: a constant stays, and the first value is itself", () => {
  near(ema([5, 5, 5], 0.9), [5, 5, 5]);
  near(ema([1, 0], 0.5), [1, 1 / 3]);
});

test("a value that counts several times equals that many values", () => {
  const each = ema([1, 1, 1, 4, 4, 2], 0.8);
  near(ema([1, 4, 2], 0.8, [3, 2, 1]), [each[2], each[4], each[5]]);
  near(ema([3, 5], 0.8, [0, 1]), [3, 5]);
});

test("the running average has a shorter window at the ends", () => {
  near(runningAverage([1, 2, 6, 7], 3), [1.5, 3, 5, 6.5]);
  near(runningAverage([1, 2, 3], 1), [1, 2, 3]);
});

test("the gaussian keeps a constant and spreads a spike evenly", () => {
  near(gaussian([2, 2, 2, 2], 1.5), [2, 2, 2, 2]);
  const [before, at, after] = gaussian([0, 0, 0, 0, 1, 0, 0, 0, 0], 1).slice(3, 6);
  near([before], [after]);
  assert.ok(at > before && at < 1);
});

test("NaN and the infinities stay and do not affect other points", () => {
  for (const kind of ["ema", "average", "gaussian"]) {
    const amount = kind === "ema" ? 0.9 : 3;
    const curve = smoothCurve([1, NaN, 1, Infinity, 1], { kind, amount });
    assert.ok(Number.isNaN(curve[1]));
    assert.equal(curve[3], Infinity);
    near([curve[0], curve[2], curve[4]], [1, 1, 1]);
  }
});

test("without smoothing the values are the same", () => {
  const values = [3, 1];
  assert.equal(smoothCurve(values, { kind: "none", amount: 0 }), values);
  assert.equal(ema(values, 0), values);
});
