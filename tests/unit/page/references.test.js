import assert from "node:assert/strict";
import { test } from "node:test";
import { paletteColor } from "../../../query/stepwell_query/web/js/ui/palette.js";
import { fits } from "../../../query/stepwell_query/web/js/series/metric_definitions.js";
import { readBoxGroups, fileExtension, findFlaw, isFileName, readMasks, imageSize } from "../../../query/stepwell_query/web/js/media/references.js";
import { boxRectangle } from "../../../query/stepwell_query/web/js/media/images.js";
import { parseFiles } from "../../../query/stepwell_query/web/js/runs/run_tables.js";

const NAME = "0123456789abcdef".repeat(4);
const ODD = [undefined, null, true, 0, NaN, "", "x", "../x", NAME.toUpperCase(), `${NAME}/`, `${NAME}\n`, [], [NAME], {}, { length: 64 }, () => NAME];

test("only 64 lower-case hexadecimal digits name a file", () => {
  assert.ok(isFileName(NAME));
  for (const odd of ODD) assert.ok(!isFileName(odd), String(odd));
});

test("a value of a wrong form has a flaw, whatever it is, and nothing throws", () => {
  for (const kind of ["image", "audio", "video", "html", "plotly", "table", "histogram", "object3d", ""]) {
    for (const odd of ODD) {
      assert.notEqual(findFlaw(kind, odd), "");
      assert.notEqual(findFlaw(kind, { sha256: odd, bins: odd, counts: odd }), "");
    }
  }
  assert.equal(findFlaw("image", { sha256: NAME }), "");
  assert.equal(findFlaw("histogram", { bins: [0, 1, 2], counts: [3, 4] }), "");
  assert.notEqual(findFlaw("histogram", { bins: [0, 1], counts: [3, 4] }), "");
});

test("of masks, boxes and sizes only those that can be drawn are left", () => {
  for (const odd of ODD) {
    assert.deepEqual(readMasks({ masks: { one: odd, two: { sha256: odd } } }), []);
    assert.deepEqual(readMasks({ masks: odd }), []);
    assert.deepEqual(readBoxGroups({ boxes: odd }), []);
    assert.equal(imageSize({ width: odd, height: 3 }), null);
    assert.equal(boxRectangle(odd, 10, 10), null);
    assert.equal(boxRectangle({ position: odd }, 10, 10), null);
  }
  assert.deepEqual(readMasks({ masks: { one: { sha256: NAME } } }), [{ sha256: NAME }]);
  assert.deepEqual(boxRectangle({ position: { minX: 0, maxX: 0.5, minY: 0, maxY: 1 } }, 10, 20), { x: 0, y: 0, w: 5, h: 20 });
  assert.equal(imageSize({ width: 1e9, height: 3 }), null);
});

test("what names a file in a list is read from any text", () => {
  for (const text of ["", "{", "null", "1", "[]", '{"items": 3}', '{"items": [null, 1, {"sha256": 3}]}', "NaN"]) assert.deepEqual(parseFiles(text), []);
  assert.deepEqual(parseFiles(JSON.stringify({ items: [null, { sha256: NAME }] })), [{ sha256: NAME }]);
});

test("endings and colours are of a few forms", () => {
  assert.deepEqual([fileExtension("png"), fileExtension("../x", "bin"), fileExtension(3, null), fileExtension("svg+xml")], [".png", ".bin", "", ""]);
  for (const odd of [NaN, Infinity, 1.5]) assert.match(paletteColor(odd), /^#[0-9a-f]{6}$/);
});

test("patterns of many stars take no time", () => {
  assert.ok(fits("train/loss", ["train/", ""]));
  assert.ok(fits("a.b.c", ["a", "b", "c"]));
  assert.ok(!fits("abc", ["ab", "bc"]));
  assert.ok(!fits("ac", ["a", "b", "c"]));
  const began = performance.now();
  assert.ok(!fits("a".repeat(1_000), [...new Array(500).fill("a"), "b"]));
  assert.ok(performance.now() - began < 1_000);
});
