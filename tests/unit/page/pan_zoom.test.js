import assert from "node:assert/strict";
import { test } from "node:test";
import { panBy, WHOLE, zoomAt } from "../../../query/stepwell_query/web/js/media/pan_zoom.js";

test("a zoom keeps its point, ends at the whole picture, and can't lose the picture", () => {
  const near = zoomAt(WHOLE, 2, { x: 10, y: -20 });
  assert.deepEqual(near, { scale: 2, x: -10, y: 20 });
  assert.deepEqual(zoomAt(near, 0.1, { x: 5, y: 5 }), WHOLE);
  assert.equal(zoomAt(near, 1e9, { x: 0, y: 0 }).scale, 64);
  assert.deepEqual(panBy(near, 1e6, -1e6, { width: 100, height: 50 }), { scale: 2, x: 100, y: -50 });
});
