import assert from "node:assert/strict";
import { test } from "node:test";
import { FieldCatalog, groupName, readField, runDuration, sortRuns } from "../../../query/stepwell_query/web/js/runs/run_fields.js";
import { columnHead, defaultColumns, groupOptions, orderOption, orderOptions, reverseOrder, tableNumber } from "../../../query/stepwell_query/web/js/runs/run_columns.js";
import { RUN_FIELDS } from "./run_fields_sample.js";
import { defaultView } from "../../../query/stepwell_query/web/js/state/url_state.js";
import { findIncomplete, literalWords, neededFields } from "../../../query/stepwell_query/web/js/runs/extra_columns.js";

const run = (id, more = {}) => ({
  run_id: id, name: id, state: "finished", tags: [], notes: "", group: "", config: {}, summary: {},
  created_at: "2026-01-01T00:00:00Z", started_at: "2026-01-01T00:00:00Z", finished_at: "2026-01-01T00:01:30Z", heartbeat_at: "2026-01-01T00:01:40Z", duration: 90, ...more,
});
const runs = [
  run("a", { config: { lr: 0.1, model: { depth: 9 } }, summary: { "val/loss": 0.5 }, tags: ["paper"] }),
  run("b", { config: { lr: 0.03, model: { depth: 10 }, "model.width": 3 }, state: "running" }),
  run("c", { config: { lr: { value: 1 } }, summary: { "val/loss": "NaN" } }),
];
const ids = (found) => found.map((run) => run.run_id).join("");

test("values are found by their path, entire names first, and wandb's wrapping is removed", () => {
  assert.equal(readField(runs[0], "config.model.depth"), 9);
  assert.equal(readField(runs[1], "config.model.width"), 3);
  assert.equal(readField(runs[2], "config.lr"), 1);
  assert.equal(readField(runs[0], "config.model.depth.deeper"), undefined);
  assert.equal(readField(runs[0], "duration"), 90);
  assert.equal(readField(runs[0], "runtime"), 90);
});

test("fields are the built-in ones, then those of config and summary", () => {
  const catalog = new FieldCatalog(RUN_FIELDS);
  assert.ok(catalog.add(runs));
  assert.ok(!catalog.add(runs) && !catalog.add([{ ...runs[0] }]));
  const fields = catalog.all;
  assert.ok(fields.indexOf("state") < fields.indexOf("config.lr"));
  assert.ok(fields.includes("config.model.depth") && fields.includes("summary.val/loss"));
});

const SHA = "0123456789abcdef".repeat(4);
const MEDIA = { tone: { sha256: SHA, size: 9, content_type: "audio/wav" }, pictures: { items: [{ sha256: SHA }] }, weights: { bins: [0, 1], counts: [3] } };
const sweep = [1, 2, 3].map((number) =>
  run(`s${number}`, { config: { seed: number, epochs: 5, opt: { lr: number / 10 } }, summary: { ...MEDIA, zeta: 1, "train/loss": 0.1, val: { acc: "NaN" }, said: "x" }, ...(number === 1 ? { tags: ["paper"] } : {}) }),
);

test("the default columns are metrics that most runs logged and config that differs, and no media", () => {
  const columns = defaultColumns([...sweep, run("old", { config: { epochs: 5 }, summary: { rare: 1, zeta: 2 } })]);
  assert.deepEqual(columns, ["state", "created_at", "duration", "summary.zeta", "summary.train/loss", "summary.val.acc", "summary.rare", "config.opt.lr", "config.seed", "tags"]);
  assert.deepEqual(defaultColumns([run("alone", { config: { lr: 1 } })]), ["state", "created_at", "duration", "config.lr"]);
  assert.deepEqual(defaultColumns([]), ["state", "created_at", "duration"]);
});

test("media are fields that nothing is ordered by; orders are the common ones, metrics, and config that differs", () => {
  const catalog = new FieldCatalog(RUN_FIELDS);
  catalog.add(sweep);
  assert.deepEqual([...catalog.media], ["summary.tone", "summary.pictures", "summary.weights"]);
  assert.ok(![...catalog.all].some((field) => field.includes("sha256")));
  const orders = orderOptions(sweep);
  assert.deepEqual(orders.slice(7), [["summary.train/loss", "train/loss"], ["summary.val.acc", "val.acc"], ["summary.zeta", "zeta"], ["config.opt.lr", "opt.lr"], ["config.seed", "seed"]].map(([value, label]) => ({ value, label })));
  assert.equal(orderOption("-config.seed", orders), "config.seed");
  assert.equal(orderOption("created_at", orders), "created_at");
  assert.equal(orderOption("config.gone", orders), "config.gone");
  assert.equal(reverseOrder(reverseOrder("-name")), "-name");
  const groups = groupOptions(sweep, RUN_FIELDS).map(({ value }) => value);
  assert.ok(groups.includes("state") && groups.includes("config.seed") && !groups.includes("config.epochs") && !groups.includes("name"));
});

test("heads are labels and keys, unless two columns have one key; numbers have four digits", () => {
  const shown = ["created_at", "duration", "config.lr", "summary.lr", "summary.loss"];
  assert.deepEqual(["name", ...shown].map((field) => columnHead(field, shown, RUN_FIELDS)), ["Name", "Created", "Duration", "config.lr", "summary.lr", "loss"]);
  assert.deepEqual([0.123456789, 1234.5678, 1199, 1234567, -3, 1e-9].map(tableNumber), ["0.1235", "1235", "1199", "1,234,567", "-3", "1.00e-9"]);
});

test("runs are sorted by numbers as numbers; those without come last either way", () => {
  assert.equal(ids(sortRuns(runs, "config.lr")), "bac");
  assert.equal(ids(sortRuns(runs, "-config.lr")), "cab");
  assert.equal(ids(sortRuns(runs, "config.model.depth")), "abc");
  assert.equal(ids(sortRuns(runs, "-config.model.depth")), "bac");
});

test("a run's duration is what the service computed", () => {
  assert.equal(runDuration({ ...runs[0], duration: 7 }), 7);
  assert.equal(runDuration({ ...runs[0], duration: null }), undefined);
});

test("groups are named by the value", () => {
  assert.equal(groupName(runs[0], "config.lr"), "0.1");
  assert.equal(groupName(runs[0], "tags"), "paper");
  assert.equal(groupName(runs[1], "tags"), "(none)");
});

test("fields that lists of runs leave out are requested by name", () => {
  const view = { ...defaultView(), table: true, columns: ["state", "config.a"], sort: "-config.b", group: "tags", rq: "word summary.c>1" };
  const fields = neededFields(view, 500);
  assert.deepEqual(fields, ["config.a", "config.b"]);
  assert.deepEqual(neededFields({ ...view, table: false, sort: "name" }, 500), []);
  const partial = (more) => run("p", { partial: true, complete_to: { step: 1, offset: 5 }, ...more });
  const values = { "config.a": 1, "config.b": undefined };
  const all = [run("whole"), partial({}), partial({ values, values_offset: 5 }), partial({ values, values_offset: 4 }), partial({ values: {}, values_offset: 5 })];
  assert.deepEqual(findIncomplete(all, fields), [all[1], all[3], all[4]]);
  assert.deepEqual(findIncomplete(all, []), []);
  assert.equal(readField(all[2], "config.a"), 1);
  assert.equal(readField(all[2], "config.b"), undefined);
});

test("the service searches columns by the words that every match contains", () => {
  assert.equal(literalWords("^config.lr$"), "config lr");
  assert.equal(literalWords("val/loss"), "val/loss");
  for (const expression of ["a|b", "colou?r", "a*", "[ab]c", "(x)", "\\d", "a{0,1}"]) assert.equal(literalWords(expression), "");
});
