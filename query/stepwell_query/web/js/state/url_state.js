/** Conversion between the view and the query of a URL. Defaults are left out, and the order of parameters is fixed. */

/** @typedef {import("../types.js").ViewState} ViewState */
/** @typedef {import("../types.js").PanelView} PanelView */
/** @typedef {import("../types.js").Smooth} Smooth */

/** @returns {ViewState} */
export function defaultView() {
  return {
    q: "",
    rq: "",
    sections: "first",
    order: [],
    fold: [],
    x: "",
    zoom: null,
    solo: "",
    legend: false,
    smooth: { kind: "none", amount: 0 },
    logx: false,
    logy: false,
    outliers: false,
    show: null,
    sort: "-created_at",
    group: "",
    columns: null,
    colors: {},
    panels: {},
    charts: [],
    full: "",
    table: false,
    tab: "charts",
    ranks: "primary",
    rank: "",
    metric: "",
    compare: "",
    base: "",
    cq: "",
  };
}

const SMOOTH_KINDS = new Set(["ema", "average", "gaussian"]);

/** @param {ViewState} view */
export function formatView(view) {
  const defaults = defaultView();
  /** @type {string[]} */
  const parts = [];
  /** @param {string} name @param {string} value already encoded */
  const put = (name, value) => parts.push(`${name}=${value}`);
  for (const name of /** @type {const} */ (["tab", "q", "rq", "x", "solo", "sections", "sort", "group", "full", "ranks", "rank", "metric", "compare", "base", "cq"])) {
    if (view[name] !== defaults[name]) put(name, encode(view[name]));
  }
  if (view.zoom) put("zoom", `${encode(view.zoom.axis)}:${view.zoom.low}..${view.zoom.high}`);
  if (view.smooth.kind !== "none") put("smooth", `${view.smooth.kind}:${view.smooth.amount}`);
  for (const name of /** @type {const} */ (["logx", "logy", "outliers", "legend", "table"])) if (view[name]) put(name, "1");
  for (const name of /** @type {const} */ (["fold", "order"])) if (view[name].length) put(name, list(view[name]));
  if (view.show) put("show", list(view.show));
  if (view.columns) put("columns", list(view.columns));
  const colors = Object.entries(view.colors).map(([run, color]) => `${encode(run)}:${color.replace("#", "")}`);
  if (colors.length) put("colors", colors.join(","));
  for (const [key, panel] of Object.entries(view.panels)) {
    const marks = [panel.log === undefined ? "" : panel.log ? "log" : "linear", panel.step === undefined ? "" : `@${panel.step}`];
    if (marks.some(Boolean)) put("p", [encode(key), ...marks.filter(Boolean)].join(";"));
  }
  for (const chart of view.charts) put("chart", formatChart(chart));
  return parts.length ? `?${parts.join("&")}` : "";
}

/**
 * Parse a query. Invalid parts have their default, so that old links continue to work.
 * @param {string} query
 * @returns {ViewState}
 */
export function parseView(query) {
  const view = defaultView();
  for (const part of query.replace(/^\?/, "").split("&")) {
    const cut = part.indexOf("=");
    if (cut > 0) readParameter(view, part.slice(0, cut), part.slice(cut + 1));
  }
  return view;
}

/** @param {ViewState} view @param {string} name @param {string} value */
function readParameter(view, name, value) {
  switch (name) {
    case "tab":
    case "q":
    case "rq":
    case "x":
    case "solo":
    case "sort":
    case "group":
    case "full":
    case "rank":
    case "metric":
    case "base":
    case "cq":
      view[name] = decode(value);
      break;
    case "sections":
      view.sections = value === "all" ? "all" : "first";
      break;
    case "compare":
      view.compare = value === "all" || value === "diff" ? value : "";
      break;
    case "ranks":
      view.ranks = value === "band" || value === "lines" ? value : "primary";
      break;
    case "logx":
    case "logy":
    case "outliers":
    case "legend":
    case "table":
      view[name] = value === "1";
      break;
    case "fold":
    case "order":
    case "show":
    case "columns":
      view[name] = value ? value.split(",").map(decode) : [];
      break;
    case "zoom":
      view.zoom = readZoom(value);
      break;
    case "smooth":
      view.smooth = readSmooth(value);
      break;
    case "colors":
      for (const pair of value.split(",")) {
        const cut = pair.lastIndexOf(":");
        const color = pair.slice(cut + 1);
        if (cut > 0 && /^[0-9a-f]{6}$/i.test(color)) view.colors[decode(pair.slice(0, cut))] = `#${color}`;
      }
      break;
    case "chart": {
      const chart = parseChart(value);
      if (chart) view.charts.push(chart);
      break;
    }
    case "p":
      readPanel(view, value.split(";"));
      break;
    default:
  }
}

/** @typedef {import("../types.js").ChartDefinition} ChartDefinition */

/** Parts of a chart by the names they have in an address. */
const RANGES = /** @type {const} */ ({ xr: "rangeX", y: "rangeY", ry: "rangeRight" });

/** @param {ChartDefinition} chart */
function formatChart(chart) {
  const ranges = Object.entries(RANGES).flatMap(([name, member]) => (chart[member] ? [`${name}=${chart[member]?.join("..")}`] : []));
  const texts = [["t", chart.title], ["x", chart.x]].flatMap(([name, text]) => (text ? [`${name}=${encode(text)}`] : []));
  return [list(chart.keys), ...(chart.right.length ? [`r=${list(chart.right)}`] : []), ...texts, ...(chart.log ? ["log"] : []), ...(chart.logRight ? ["rlog"] : []), ...ranges].join(";");
}

/** Parse a chart; null without keys. @param {string} value @returns {ChartDefinition | null} */
function parseChart(value) {
  const [first, ...parts] = value.split(";");
  const keys = [...new Set(first.split(",").filter(Boolean).map(decode))];
  /** @type {ChartDefinition} */
  const chart = { keys, right: [], title: "", x: "", log: false, logRight: false, rangeX: null, rangeY: null, rangeRight: null };
  for (const part of parts) {
    const cut = part.indexOf("=");
    const [name, text] = cut < 0 ? [part, ""] : [part.slice(0, cut), part.slice(cut + 1)];
    if (name === "log") chart.log = true;
    else if (name === "rlog") chart.logRight = true;
    else if (name === "t") chart.title = decode(text);
    else if (name === "x") chart.x = decode(text);
    else if (name === "r") chart.right = text.split(",").map(decode).filter((key) => keys.includes(key));
    else if (Object.hasOwn(RANGES, name)) chart[RANGES[/** @type {keyof typeof RANGES} */ (name)]] = readRange(text);
  }
  return keys.length ? chart : null;
}

/** @param {string} text @returns {[number, number] | null} */
function readRange(text) {
  const [low, high] = text.split("..").map(Number);
  return Number.isFinite(low) && Number.isFinite(high) && low < high ? [low, high] : null;
}

/** @param {string} value @returns {import("../types.js").Zoom | null} */
function readZoom(value) {
  const cut = value.lastIndexOf(":");
  const range = readRange(value.slice(cut + 1));
  return cut > 0 && range ? { axis: decode(value.slice(0, cut)), low: range[0], high: range[1] } : null;
}

/** @param {string} value @returns {Smooth} */
function readSmooth(value) {
  const [kind, amount] = value.split(":");
  const number = Number(amount);
  if (!SMOOTH_KINDS.has(kind) || !Number.isFinite(number)) return defaultView().smooth;
  return { kind: /** @type {Smooth["kind"]} */ (kind), amount: number };
}

/** @param {ViewState} view @param {string[]} parts */
function readPanel(view, [key, ...marks]) {
  /** @type {PanelView} */
  const panel = {};
  for (const mark of marks) {
    if (mark === "log" || mark === "linear") panel.log = mark === "log";
    else if (/^@\d+$/.test(mark)) panel.step = Number(mark.slice(1));
  }
  view.panels[decode(key)] = panel;
}

/** @param {string[]} values */
function list(values) {
  return values.map(encode).join(",");
}

/** @param {string} text */
function encode(text) {
  // Slashes are frequent in keys and allowed in queries.
  return encodeURIComponent(text).replaceAll("%2F", "/");
}

/** @param {string} text */
function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
