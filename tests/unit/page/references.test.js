import assert from "node:assert/strict";
import { test } from "node:test";
import { paletteColor } from "../../../query/stepwell_query/web/js/ui/palette.js";
import { fits } from "../../../query/stepwell_query/web/js/series/metric_definitions.js";
import { describeMedia, isMedia, listOverlays, fileExtension, findFlaw, isFileName, imageSize } from "../../../query/stepwell_query/web/js/media/references.js";
import { boxRectangle } from "../../../query/stepwell_query/web/js/media/images.js";
import { parseFiles } from "../../../query/stepwell_query/web/js/runs/run_tables.js";

const NAME = "0123456789abcdef".repeat(4);
const INVALID = [undefined, null, true, 0, NaN, "", "x", "../x", NAME.toUpperCase(), `${NAME}/`, `${NAME}\n`, [], [NAME], {}, { length: 64 }, () => NAME];

test("only 64 lower-case hexadecimal digits name a file", () => {
  assert.ok(isFileName(NAME));
  for (const invalid of INVALID) assert.ok(!isFileName(invalid), String(invalid));
});

test("every invalid value has a reason, and nothing throws", () => {
  for (const kind of ["image", "audio", "video", "html", "plotly", "table", "histogram", "object3d", ""]) {
    for (const invalid of INVALID) {
      assert.notEqual(findFlaw(kind, invalid), "");
      assert.notEqual(findFlaw(kind, { sha256: invalid, bins: invalid, counts: invalid }), "");
    }
  }
  assert.equal(findFlaw("image", { sha256: NAME }), "");
  assert.equal(findFlaw("histogram", { bins: [0, 1, 2], counts: [3, 4] }), "");
  assert.notEqual(findFlaw("histogram", { bins: [0, 1], counts: [3, 4] }), "");
});

test("only valid masks, boxes and sizes are returned", () => {
  for (const invalid of INVALID) {
    assert.deepEqual(listOverlays({ masks: { one: invalid, two: { sha256: invalid } } }), []);
    assert.deepEqual(listOverlays({ masks: invalid }), []);
    assert.deepEqual(listOverlays({ boxes: invalid }), []);
    assert.equal(imageSize({ width: invalid, height: 3 }), null);
    assert.equal(boxRectangle(invalid, 10, 10), null);
    assert.equal(boxRectangle({ position: invalid }, 10, 10), null);
  }
  assert.deepEqual(listOverlays({ masks: { one: { sha256: NAME } } }), [{ kind: "mask", name: "one", overlay: { sha256: NAME } }]);
  assert.deepEqual(boxRectangle({ position: { minX: 0, maxX: 0.5, minY: 0, maxY: 1 } }, 10, 20), { x: 0, y: 0, w: 5, h: 20 });
  assert.equal(imageSize({ width: 1e9, height: 3 }), null);
});

test("media are described by what they are, their size and their picture", () => {
  for (const invalid of INVALID) for (const value of [invalid, { sha256: invalid }, { items: [] }, { items: [{ sha256: invalid }] }, { bins: 3, counts: [] }]) assert.ok(!isMedia(value));
  const image = { sha256: NAME, size: 10, content_type: "image/png", width: 28, height: 14 };
  assert.ok(isMedia(image) && isMedia({ items: [image] }) && isMedia({ bins: [0, 1], counts: [1] }));
  assert.deepEqual(describeMedia(image), { name: "image", size: 10, pixels: "28 × 14", picture: NAME, count: 1 });
  assert.deepEqual(describeMedia({ items: [image, image] }), { name: "image", size: 20, pixels: "28 × 14", picture: NAME, count: 2 });
  const names = ["audio/wav", "video/mp4", "text/html", "application/vnd.apache.parquet", "application/vnd.plotly.v1+json", "x/y", undefined].map((content_type) => describeMedia({ sha256: NAME, content_type }).name);
  assert.deepEqual(names, ["audio", "video", "page", "table", "figure", "file", "file"]);
  assert.equal(describeMedia({ bins: [0, 1], counts: [1] }).name, "histogram");
});

test("overlays have their names, masks first", () => {
  const value = { boxes: { guess: { box_data: [] }, bad: 3 }, masks: { truth: { sha256: NAME }, bad: { sha256: "x" } } };
  assert.deepEqual(listOverlays(value).map(({ kind, name }) => [kind, name]), [["mask", "truth"], ["boxes", "guess"]]);
});

test("any text is parsed for the files that it names", () => {
  for (const text of ["", "{", "null", "1", "[]", '{"items": 3}', '{"items": [null, 1, {"sha256": 3}]}', "NaN"]) assert.deepEqual(parseFiles(text), []);
  assert.deepEqual(parseFiles(JSON.stringify({ items: [null, { sha256: NAME }] })), [{ sha256: NAME }]);
});

test("extensions and colours are restricted", () => {
  assert.deepEqual([fileExtension("png"), fileExtension("../x", "bin"), fileExtension(3, null), fileExtension("svg+xml")], [".png", ".bin", "", ""]);
  for (const invalid of [NaN, Infinity, 1.5]) assert.match(paletteColor(invalid), /^#[0-9a-f]{6}$/);
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
