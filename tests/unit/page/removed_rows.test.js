import assert from "node:assert/strict";
import { test } from "node:test";
import { toGroupPoints, toPoints } from "../../../query/stepwell_query/web/js/api/service.js";
import { buildReadout } from "../../../query/stepwell_query/web/js/charts/readout.js";
import { formatRemoved } from "../../../query/stepwell_query/web/js/panels/removed_rows.js";

const columns = { step: [0, 128], x: [0, 128], value: [1, 2], min: [1, 2], max: [1, 2], mean: [1, 2], std: [0, 0], counts: [128, 1], count: [1, 1], nans: [0, 0] };

test("a chart without removed rows has no note", () => {
  assert.deepEqual(formatRemoved([]), { text: "", title: "", rawFrom: 0 });
  assert.deepEqual(formatRemoved([{}, { rawFrom: undefined }]), { text: "", title: "", rawFrom: 0 });
});

test("the note names the step from which all lines have rows", () => {
  const { text, title, rawFrom } = formatRemoved([{ rawFrom: 128 }, {}, { rawFrom: 12_800 }]);
  assert.equal(rawFrom, 12_800);
  assert.equal(text, "rows from step 12,800");
  assert.match(title, /Rows before step 12,800 are removed/);
});

test("series and groups carry the step, if the answer has it", () => {
  assert.equal(toPoints({ ...columns, raw_from: 128 }).rawFrom, 128);
  assert.equal(toGroupPoints({ raw_from: 128 }, columns).rawFrom, 128);
  assert.equal("rawFrom" in toPoints(columns), false);
});

test("the tooltip marks points whose rows are removed", () => {
  const line = { ...toPoints({ ...columns, raw_from: 128 }), id: "r", owner: "r", name: "r", color: "", y: [1, 2], raw: null, low: null, high: null, dash: false, band: "min–max" };
  const notes = [0, 1].map((at) => buildReadout([{ line, at, distance: 0 }], { axis: "_step", at: line.x[at], unit: "", most: 9 }).rows[0].notes);
  assert.deepEqual(notes.map((of) => of.includes("rows removed")), [true, false]);
});
