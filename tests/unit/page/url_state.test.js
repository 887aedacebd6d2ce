import assert from "node:assert/strict";
import { test } from "node:test";
import { defaultView, formatView, parseView } from "../../../query/stepwell_query/web/js/state/url_state.js";

const everything = {
  q: "loss|ac&=c",
  rq: "config.lr>0.1 a+b",
  sections: "all",
  order: ["val", "a,b"],
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
  charts: [
    { keys: ["train/loss", "a;b,c"], right: ["a;b,c"], title: "Both = 1; 2", x: "epo;ch", log: true, logRight: true, rangeX: [0, 10], rangeY: [-1.5, 2], rangeRight: [1e-9, 1] },
    { keys: ["lr"], right: [], title: "", x: "", log: false, logRight: false, rangeX: null, rangeY: null, rangeRight: null },
  ],
  full: "line:train/loss",
  table: true,
  tab: "system",
  ranks: "band",
  rank: "rank3",
  metric: "train/loss",
  compare: "diff",
  base: "run 1",
  cq: "lr|opt.*",
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
  const view = parseView("?smooth=magic:1&colors=a:red&ranks=every&zoom=_step:5..1&p=k;5..9&sections=x&compare=1&chart=&chart=a,a;r=b;y=2..1;xr=x..y;toString=1&%=%E0%A4%A&nonsense&q=%E0%A4%A");
  assert.deepEqual(view.smooth, { kind: "none", amount: 0 });
  assert.equal(view.ranks, "primary");
  assert.equal(view.zoom, null);
  assert.equal(view.compare, "");
  assert.deepEqual(view.charts, [{ keys: ["a"], right: [], title: "", x: "", log: false, logRight: false, rangeX: null, rangeY: null, rangeRight: null }]);
  assert.deepEqual([view.colors, view.panels, view.sections, view.q], [{}, { k: {} }, "first", "%E0%A4%A"]);
});

test("the address is stable: the same view has the same one", () => {
  assert.equal(formatView(parseView(formatView(everything))), formatView(everything));
});
