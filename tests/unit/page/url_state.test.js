import assert from "node:assert/strict";
import { test } from "node:test";
import { defaultView, formatView, parseView } from "../../../query/stepwell_query/web/js/state/url_state.js";

const everything = {
  q: "loss|ac&=c",
  rq: "config.lr>0.1 a+b",
  sections: "all",
  fold: ["a/b", "c,d"],
  x: "train/épo ch",
  zoom: { axis: "a:b/c", low: -1.5, high: 2e21 },
  solo: "run 1",
  legend: true,
  smooth: { kind: "ema", amount: 0.65 },
  logx: true,
  logy: true,
  outliers: true,
  show: ["run 1", "r,2", "🚀"],
  sort: "-config.lr",
  group: "config.model.name",
  columns: ["config.a b", "summary.x/y"],
  colors: { "r:1": "#a0b1c2" },
  panels: { "train/loss;x": { log: true }, plain: { log: false } },
  full: "line:train/loss",
  table: true,
  tab: "system",
  ranks: "band",
  rank: "rank3",
  metric: "train/loss",
};

test("a view is restored from its address", () => {
  assert.deepEqual(parseView(formatView(everything)), everything);
});

test("defaults are left out", () => {
  assert.equal(formatView(defaultView()), "");
  assert.deepEqual(parseView(""), defaultView());
});

test("a view without runs differs from one with the default runs", () => {
  assert.deepEqual(parseView(formatView({ ...defaultView(), show: [] })).show, []);
});

test("invalid parts have their defaults", () => {
  const view = parseView("?smooth=magic:1&colors=a:red&ranks=every&zoom=_step:5..1&p=k;5..9&sections=x&%=%E0%A4%A&nonsense&q=%E0%A4%A");
  assert.deepEqual(view.smooth, { kind: "none", amount: 0 });
  assert.equal(view.ranks, "primary");
  assert.equal(view.zoom, null);
  assert.deepEqual([view.colors, view.panels, view.sections, view.q], [{}, { k: {} }, "first", "%E0%A4%A"]);
});

test("the address is stable: the same view has the same one", () => {
  assert.equal(formatView(parseView(formatView(everything))), formatView(everything));
});
