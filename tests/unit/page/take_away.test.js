import assert from "node:assert/strict";
import { test } from "node:test";
import { chartRows } from "../../../query/stepwell_query/web/js/charts/export_csv.js";
import { chartSvg, clockTicks, escapeXml } from "../../../query/stepwell_query/web/js/charts/export_svg.js";
import { ownSection, keysAtRight } from "../../../query/stepwell_query/web/js/panels/chart_definitions.js";
import { tableRows } from "../../../query/stepwell_query/web/js/runs/table_csv.js";
import { toCsv } from "../../../query/stepwell_query/web/js/ui/csv.js";
import { fileName } from "../../../query/stepwell_query/web/js/ui/download.js";

const line = (name, y, more = {}) => ({ id: name, owner: name, name, color: "#3b78e7", x: [0, 10, 20], y, raw: null, low: null, high: null, step: [0, 10, 20], counts: [1, 1, 1], nans: [0, 0, 0], last: y, sampled: false, dash: false, band: "min–max", ...more });
const view = { axis: "_step", logx: false, logy: false, outliers: false, zoom: null, unit: "", base: "", range: null, right: null };
const shown = (lines, more = {}) => ({ title: "train/loss", place: "me/tour", notes: ["exponential smoothing 0.6"], lines, view: { ...view, ...more }, ranges: { x: [0, 20], y: [0, 2], right: [1, 100] } });

test("texts of CSV are quoted, formulas are texts, and numbers have all digits", () => {
  assert.equal(toCsv([["a,b", 'say "x"', "=1+1", -0.1 - 0.2, NaN, undefined, true], ["two\nlines", "-x"]]), `"a,b","say ""x""",'=1+1,-0.30000000000000004,NaN,,true\r\n"two\nlines",'-x\r\n`);
});

test("names of files say what they have, and are valid everywhere", () => {
  assert.equal(fileName(["the tour's 🚀 project", "train/loss", ".."], "csv"), "the-tour-s-project-train-loss.csv");
  assert.equal(fileName(["..", "///"], "png"), "stepwell.png");
  assert.equal(fileName(["x".repeat(500)], "csv").length, 124);
});

test("the rows of a chart are the points in its range, with the value before smoothing and the band", () => {
  const rows = chartRows({ ...shown([line("a", [1, 2, 3], { raw: [1, 2.5, 3], low: [0, 1, 2], high: [2, 3, 4], counts: [4, 4, 4] })]), ranges: { x: [5, 25] } });
  assert.deepEqual(rows, [["name", "id", "metric", "step", "value", "smoothed", "low", "high", "band", "count", "nan_count"], ["a", "a", "train/loss", 10, 2.5, 2, 1, 3, "min–max", 4, 0], ["a", "a", "train/loss", 20, 3, 3, 2, 4, "min–max", 4, 0]]);
  assert.deepEqual(chartRows(shown([line("a", [1, 2, 3])], { axis: "epoch" }))[0].slice(3, 5), ["epoch", "step"]);
});

test("a picture has title, notes, axes and legend, and no markup of names", () => {
  const { text, width, height } = chartSvg(shown([line('<b>"a"&', [1, NaN, 2], { nans: [0, 1, 0] }), line("b", [1, 2, 3], { low: [0, 1, 2], high: [2, Infinity, 4], sampled: true })]));
  for (const part of ["train/loss", "me/tour · exponential smoothing 0.6", "&lt;b&gt;&quot;a&quot;&amp;", ">step<", ">0.5<", ">20<"]) assert.ok(text.includes(part), part);
  assert.ok(text.startsWith(`<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}"`));
  assert.ok(!/NaN|Infinity|undefined|<b>/.test(text.replace(/<text[^>]*>[^<]*<\/text>/g, "")), text);
});

test("a right axis and logarithmic axes have ticks of their own", () => {
  const { text } = chartSvg({ ...shown([line("a", [1, 2, 0.5]), line("b", [1, 10, 100], { right: true })], { logx: true, right: { unit: "", log: true, range: null } }), ranges: { x: [1, 20], y: [0, 2], right: [1, 100] } });
  assert.ok(text.includes('text-anchor="start">50<') && text.includes(">5<"), text);
  assert.ok(!/NaN|Infinity/.test(text));
});

test("a time axis has even local times", () => {
  const { ticks, labels } = clockTicks(1_700_000_000, 1_700_003_600, 7);
  assert.ok(ticks.length > 3 && ticks.length < 9);
  assert.ok(labels.every((label) => /^\d\d:\d0$/.test(label)), labels.join());
  assert.match(clockTicks(1_700_000_000, 1_700_000_010, 7).labels[0], /^\d\d:\d\d:\d\d$/);
  assert.match(clockTicks(1_600_000_000, 1_700_000_000, 7).labels[0], /^\d{4}-\d\d-\d\d$/);
});

test("characters that XML lacks are left out", () => {
  assert.equal(escapeXml("a\u0000\u001bb"), "ab");
});

test("the table has names, ids and groups, and its columns once", () => {
  const run = (id, arm, more) => ({ run_id: id, name: `run ${id}`, tags: ["x", "y"], config: {}, summary: {}, values: { "config.arm": arm, ...more } });
  const runs = [run("1", "b", { "config.o": { a: 1 } }), run("2", "a", { "config.o": null }), run("3", "b", {})];
  assert.deepEqual(tableRows(runs, ["name", "tags", "config.o"], "config.arm"), [
    ["name", "run_id", "config.arm", "tags", "config.o"],
    ["run 1", "1", "b", "x, y", '{"a":1}'],
    ["run 3", "3", "b", "x, y", undefined],
    ["run 2", "2", "a", "x, y", undefined],
  ]);
});

const metric = (key, more = {}) => ({ key, folded: key.toLowerCase(), kind: "number", stream: "", writers: 0, ...more });
const chart = (keys, more = {}) => ({ keys, right: [], title: "", x: "", log: false, logRight: false, rangeX: null, rangeY: null, rangeRight: null, ...more });

test("own charts have the metrics that the shown runs logged, in any spelling, and are searched by title and key", () => {
  const metrics = [metric("Loss"), metric("system/cpu", { stream: "system" }), metric("said", { kind: "string" })];
  const [{ panels, own }] = ownSection([chart(["loss", "gone", "said", "system/cpu"], { title: "Both" }), chart(["x"])], metrics, "");
  assert.deepEqual([own, panels.map(({ id, label }) => [id, label])], [true, [["chart:0", "Both"], ["chart:1", "x"]]]);
  assert.deepEqual(panels[0].metrics, [{ key: "loss", folded: "loss", timed: false }, { key: "system/cpu", folded: "system/cpu", timed: true }]);
  assert.deepEqual(ownSection([chart(["loss"])], metrics, "^Both"), []);
  assert.equal(ownSection([chart(["loss"]), chart(["lr"])], metrics, "lr")[0].panels[0].id, "chart:1");
  assert.deepEqual(ownSection([chart(["loss"])], [], ""), []);
});

test("other units than that of the first key need the right axis", () => {
  const timed = (key) => ({ key, timed: true });
  assert.deepEqual(keysAtRight([timed("system/cpu"), timed("system/memory"), timed("system/process.memory"), { key: "loss", timed: false }]), ["system/process.memory", "loss"]);
});
