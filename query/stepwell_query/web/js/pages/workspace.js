/** A project's page: its runs beside the charts of what they logged. Also the charts of one run's page. */

import * as api from "../api/service.js";
import { drawnOverOthers, hiddenBy } from "../series/metric_definitions.js";
import { fill, h } from "../ui/dom.js";
import { failed, nothingLogged } from "./empty_states.js";
import { Enlarged } from "../panels/enlarged.js";
import { VirtualGrid } from "../panels/virtual_grid.js";
import { onKey } from "../ui/keyboard.js";
import { RunEvents } from "../api/run_events.js";
import { makePanel } from "../panels/panel_kinds.js";
import { RunsTable } from "../runs/runs_table.js";
import { isFolded, buildSections } from "../panels/sections.js";
import { SeriesCache } from "../series/cache.js";
import { Toolbar } from "./toolbar.js";

/** @typedef {import("../types.js").Metric} Metric */
/** @typedef {import("../panels/sections.js").Section} Section */
/** @typedef {import("../runs/runs_model.js").RunsModel} RunsModel */

const METRICS_MS = 3_000;
const RUNS_MS = 1_000;
const DRAWN_BY = ["rq", "show", "sort", "group", "colors"];

export class Workspace {
  /**
   * @param {HTMLElement} main
   * @param {RunsModel} runs
   * @param {import("../state/view_state.js").Store} store
   * @param {import("../api/connection.js").Connection} connection
   * @param {{list: boolean}} options `list`: with the runs beside
   */
  constructor(main, runs, store, connection, { list }) {
    this.runs = runs;
    this.store = store;
    this.source = new SeriesCache();
    this.toolbar = new Toolbar(store);
    this.table = list ? new RunsTable(this) : null;
    this.message = h("div", { class: "message" });
    this.charts = h("div", { class: "charts" }, this.toolbar.element, this.message);
    this.element = h("div", { class: list ? "workspace" : "workspace alone" }, list ? h("h1", { class: "unseen" }, runs.project) : null, this.table?.element, this.charts);
    fill(main, this.element);
    this.grid = new VirtualGrid(this.charts, (spec) => makePanel(spec, this), (section) => this.fold(section));
    this.enlarged = new Enlarged(this);
    /** @type {Metric[]} */
    this.metrics = [];
    this.metricsFor = "";
    this.known = false;
    this.stream = "";
    /** @type {import("../types.js").Run[] | null} */
    this.drawnFor = null;
    this.drawnKey = "";
    /** @type {import("../charts/lines.js").Drawn[]} */
    this.drawnNow = [];
    /** @type {import("../charts/lines.js").Drawn[] | null} */
    this.othersFor = null;
    this.othersNow = drawnOverOthers([]);
    /** @type {Map<string, import("../api/run_events.js").RunUpdate>} */
    this.news = new Map();
    /** @type {Set<string>} */
    this.pending = new Set();
    this.timers = { metrics: 0, runs: 0 };
    store.on((_, changed) => this.changed(changed));
    runs.on(() => this.changed(new Set(["runs"])));
    connection.onHealed(() => this.heal());
    /** @type {RunEvents | null} */
    this.live = null;
    this.keys();
    void this.load();
  }

  keys() {
    const { table, toolbar, store } = this;
    onKey("/", "Search metrics", () => toolbar.search.focus());
    if (!table) return;
    onKey("r", "Search runs", () => table.search.focus());
    onKey("t", "Runs as a table, or beside the charts", () => store.set({ table: !store.view.table }, { step: true }));
  }

  async load() {
    try {
      await this.runs.load();
    } catch (error) {
      if (!(error instanceof api.ApiError) || error.status !== 404) {
        fill(this.message, failed(/** @type {Error} */ (error).message, () => this.load()));
        return;
      }
    }
    this.known = true;
    // Not before: what comes first on the screen waits for nothing else.
    this.live ??= new RunEvents(this.runs.entity, this.runs.project, (moved) => this.moved(moved));
    this.compare();
    this.changed(new Set(["runs"]));
  }

  heal() {
    this.live?.open();
    if (!this.known) void this.load();
    else if (this.runs.failed) void this.runs.loadRest();
    this.source.retry();
    for (const panel of this.grid.panels) panel.update();
    this.enlarged.update();
    void this.loadMetrics(true);
  }

  drawn() {
    const key = DRAWN_BY.map((name) => JSON.stringify(this.store.view[/** @type {keyof import("../types.js").ViewState} */ (name)])).join();
    if (this.drawnFor !== this.runs.runs || this.drawnKey !== key) {
      this.drawnFor = this.runs.runs;
      this.drawnKey = key;
      this.drawnNow = this.runs.drawn(this.store.view);
    }
    return this.drawnNow;
  }

  /**
   * Whether any of the shown runs draws a metric over another one than the step.
   * @param {string} key
   */
  overOthers(key) {
    const drawn = this.drawn();
    if (this.othersFor !== drawn) {
      this.othersFor = drawn;
      this.othersNow = drawnOverOthers(this.shownRuns());
    }
    return this.othersNow(key);
  }

  /** The runs that panels show, in order. */
  shownRuns() {
    return this.runs.shown(this.store.view);
  }

  /** @param {Set<string>} changed */
  changed(changed) {
    if (!this.known) return;
    const { view } = this.store;
    this.element.classList.toggle("as-table", !!this.table && view.table);
    if (["runs", "table", "columns", ...DRAWN_BY].some((name) => changed.has(name))) {
      this.table?.update();
      void this.runs.need(view);
    }
    void this.loadMetrics(false);
    const sections = ["q", "sections", "fold"].some((name) => changed.has(name));
    // With metrics on the screen, the runs' names and states change nothing here.
    if (sections || !this.metrics.length) this.showSections();
    else if (changed.has("table")) this.grid.layout();
    for (const panel of this.grid.panels) panel.update();
    this.enlarged.update();
  }

  /**
   * Find out what the shown runs have logged.
   * @param {boolean} again
   */
  async loadMetrics(again) {
    const ids = this.shownRuns().map((run) => run.run_id);
    const wanted = [...ids].sort().join("\n");
    if (!this.known || (wanted === this.metricsFor && !again)) return;
    this.metricsFor = wanted;
    try {
      const found = ids.length ? await api.metrics(this.runs.entity, this.runs.project, ids) : [];
      if (this.metricsFor !== wanted) return;
      this.metrics = found;
      this.toolbar.setMetrics(found.filter((metric) => metric.kind === "number" && !metric.stream).map((metric) => metric.key));
      this.showSections();
      this.enlarged.update();
    } catch (error) {
      this.metricsFor = "";
      if (!this.metrics.length) fill(this.message, failed(/** @type {Error} */ (error).message, () => this.loadMetrics(true)));
    }
  }

  showSections() {
    const { view } = this.store;
    // What a script hid is found by those who search for it.
    const hidden = view.q ? () => false : hiddenBy(this.shownRuns());
    const metrics = this.metrics.filter((metric) => (!this.stream || metric.stream === this.stream) && !hidden(metric.key));
    const sections = buildSections(metrics, view.sections, view.q);
    const open = !!view.q || !!this.stream;
    this.grid.show(sections.map((section) => ({ section, folded: !open && isFolded(section, view.fold) })));
    const logged = metrics.some((metric) => metric.stream !== "console");
    if (sections.length) fill(this.message);
    else if (!this.runs.runs.length) fill(this.message, nothingLogged(this.runs.entity, this.runs.project, this.runs.awaited));
    else if (!this.shownRuns().length) fill(this.message, h("section", { class: "empty" }, h("h2", {}, "No runs are shown"), h("p", {}, "Tick some in the list of runs, or change its search.")));
    else if (logged) fill(this.message, h("section", { class: "empty" }, h("h2", {}, "No metric matches"), h("p", {}, `Nothing that the shown runs logged matches ${view.q}.`)));
    else if (this.stream) fill(this.message, h("section", { class: "empty" }, h("h2", {}, "No system metrics"), h("p", {}, "They are taken every 15 seconds unless STEPWELL_SYSTEM_SECONDS says otherwise.")));
    else if (this.metricsFor) fill(this.message, nothingLogged(this.runs.entity, this.runs.project, this.runs.runs.length === 1 ? this.runs.runs[0].run_id : null));
  }

  /**
   * Show the metrics of a stream alone; "": all.
   * @param {string} stream
   */
  showStream(stream) {
    if (this.stream === stream) return;
    this.stream = stream;
    this.showSections();
  }

  /** @param {Section} section */
  fold(section) {
    const { fold } = this.store.view;
    const turned = fold.includes(section.name) ? fold.filter((name) => name !== section.name) : [...fold, section.name];
    this.store.set({ fold: turned });
  }

  /**
   * Hear which runs have moved on; what is on the screen is asked for again, the rest when it is shown.
   * @param {import("../api/run_events.js").RunUpdate[]} moved
   */
  moved(moved) {
    const { entity, project } = this.runs;
    this.source.moved(moved.map(({ run_id, offset }) => [`${entity}/${project}/${run_id}`, offset]));
    for (const one of moved) if (this.runs.concerns(one.run_id)) this.news.set(one.run_id, one);
    this.compare();
  }

  /** See which runs are further than they were when they were read. */
  compare() {
    if (!this.known) return;
    for (const { run_id, offset, state } of this.news.values()) {
      const run = this.runs.byId.get(run_id);
      if (!run || run.complete_to.offset !== offset || run.state !== state) this.pending.add(run_id);
    }
    this.news.clear();
    if (!this.pending.size) return;
    this.timers.runs ||= window.setTimeout(() => this.refreshRuns(), RUNS_MS);
    this.timers.metrics ||= window.setTimeout(() => {
      this.timers.metrics = 0;
      void this.loadMetrics(true);
    }, METRICS_MS);
  }

  async refreshRuns() {
    const ids = [...this.pending];
    this.pending.clear();
    this.timers.runs = 0;
    const paths = new Set(ids.map((id) => `${this.runs.entity}/${this.runs.project}/${id}`));
    for (const panel of this.grid.panels) panel.moved(paths);
    try {
      for (const id of await this.runs.refresh(ids)) this.pending.add(id);
    } catch (error) {
      if (!(error instanceof api.ApiError)) throw error;
      // Told again with the next news, or when the connection heals.
      for (const id of ids) this.pending.add(id);
    }
    if (!this.metrics.length) void this.loadMetrics(true);
  }
}
