/** The page of a project: its runs next to the charts of their metrics. Also the charts of a run's page. */

import { loadServiceInfo } from "../api/service_info.js";
import * as api from "../api/service.js";
import { drawnOverOthers, hiddenBy } from "../series/metric_definitions.js";
import { fill, h } from "../ui/dom.js";
import { emptyPage, failed } from "./empty_states.js";
import { Enlarged } from "../panels/enlarged.js";
import { VirtualGrid } from "../panels/virtual_grid.js";
import { onKey } from "../ui/keyboard.js";
import { RunEvents } from "../api/run_events.js";
import { makePanel } from "../panels/panel_kinds.js";
import { RunsTable } from "../runs/runs_table.js";
import { buildSections, combineRanks, isFolded } from "../panels/sections.js";
import { mostWriters, streamRanks } from "../series/ranks.js";
import { SeriesCache } from "../series/cache.js";
import { onTheme } from "../ui/theme.js";
import { findPatternFlaw } from "../ui/text_match.js";
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
   * @param {{list: boolean, onMetrics?: () => void}} options `list`: with the list of runs; without it the page shows one run,
   *   whose ranks it tells apart. `onMetrics` is called after the run or its metrics were read.
   */
  constructor(main, runs, store, connection, { list, onMetrics }) {
    this.runs = runs;
    this.store = store;
    this.onMetrics = onMetrics ?? (() => undefined);
    this.ofRun = !list;
    this.series = new SeriesCache();
    this.toolbar = new Toolbar(store, { ranks: !list, nameOwner: (owner) => runs.byId.get(owner)?.name ?? owner });
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
    /** True if the service knows the project or the run. */
    this.exists = true;
    this.stream = "";
    /** @type {import("../types.js").Run[] | null} */
    this.drawnFor = null;
    /** @type {Set<string> | null} */
    this.drawnPassing = null;
    this.drawnKey = "";
    /** @type {import("../charts/lines.js").Drawn[]} */
    this.drawnNow = [];
    /** @type {import("../charts/lines.js").Drawn[] | null} */
    this.othersFor = null;
    this.othersNow = drawnOverOthers([]);
    /** @type {Map<string, import("../api/run_events.js").RunUpdate>} */
    this.updates = new Map();
    /** @type {Set<string>} */
    this.pending = new Set();
    this.timers = { metrics: 0, runs: 0 };
    store.on((_, changed) => this.changed(changed));
    onTheme(() => this.changed(new Set(["colors"])));
    runs.on(() => this.changed(new Set(["runs"])));
    connection.onReconnected(() => this.reconnected());
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
    onKey("t", "Runs as a table, or next to the charts", () => store.set({ table: !store.view.table }, { step: true }));
  }

  async load() {
    try {
      await Promise.all([this.loadRuns(), loadServiceInfo()]);
    } catch (error) {
      fill(this.message, failed(/** @type {Error} */ (error).message, () => this.load()));
      return;
    }
    this.known = true;
    // Opened last, so that it does not delay what the screen shows first.
    this.live ??= new RunEvents(this.runs.entity, this.runs.project, (updates) => this.runsUpdated(updates));
    this.compare();
    this.changed(new Set(["runs"]));
    this.onMetrics();
  }

  /** Load the runs; a project or run that does not exist yet has none. */
  async loadRuns() {
    this.exists = true;
    try {
      await this.runs.load();
    } catch (error) {
      if (!(error instanceof api.ApiError) || error.status !== 404) throw error;
      this.exists = false;
    }
  }

  reconnected() {
    this.live?.open();
    if (!this.known) void this.load();
    else if (this.runs.failed) void this.runs.loadRest();
    this.runs.retrySearch();
    this.series.retry();
    for (const panel of this.grid.panels) panel.update();
    this.enlarged.update();
    void this.loadMetrics(true);
  }

  drawn() {
    const key = DRAWN_BY.map((name) => JSON.stringify(this.store.view[/** @type {keyof import("../types.js").ViewState} */ (name)])).join();
    // The result of a search arrives after the view has changed.
    if (this.drawnFor !== this.runs.runs || this.drawnPassing !== this.runs.passing || this.drawnKey !== key) {
      this.drawnFor = this.runs.runs;
      this.drawnPassing = this.runs.passing;
      this.drawnKey = key;
      this.drawnNow = this.runs.drawn(this.store.view);
    }
    return this.drawnNow;
  }

  /**
   * Return whether any shown run draws a metric over another metric instead of the step.
   * @param {string} folded the folded key
   */
  overOthers(folded) {
    const drawn = this.drawn();
    if (this.othersFor !== drawn) {
      this.othersFor = drawn;
      this.othersNow = drawnOverOthers(this.shownRuns());
    }
    return this.othersNow(folded);
  }

  /** Return the runs that panels show, in order. */
  shownRuns() {
    return this.runs.shown(this.store.view);
  }

  /** @param {Set<string>} changed */
  changed(changed) {
    if (!this.known) return;
    const { view } = this.store;
    const none = !this.runs.runs.length;
    this.element.classList.toggle("nothing", none);
    this.element.classList.toggle("as-table", !!this.table && view.table && !none);
    if (["runs", "table", "columns", ...DRAWN_BY].some((name) => changed.has(name))) {
      this.runs.search(view);
      this.table?.update();
      void this.runs.need(view);
    }
    void this.loadMetrics(false);
    const sections = ["q", "sections", "fold", "rank"].some((name) => changed.has(name));
    // Names and states of runs do not affect sections that are shown.
    if (sections || !this.metrics.length) this.showSections();
    else if (changed.has("table")) this.grid.layout();
    for (const panel of this.grid.panels) panel.update();
    this.enlarged.update();
  }

  /**
   * Read the metrics of the shown runs.
   * @param {boolean} again also if the same runs are shown as before
   */
  async loadMetrics(again) {
    const ids = this.shownRuns().map((run) => run.run_id);
    const shown = [...ids].sort().join("\n");
    if (!this.known || (shown === this.metricsFor && !again)) return;
    this.metricsFor = shown;
    try {
      const metrics = ids.length ? await api.metrics(this.runs.entity, this.runs.project, ids) : [];
      if (this.metricsFor !== shown) return;
      this.metrics = metrics;
      this.series.metricsChanged(new Map(metrics.filter(({ kind }) => kind === "number").flatMap(({ key, folded, runs }) => [[key, runs], [folded, runs]])));
      this.toolbar.setMetrics(metrics.filter((metric) => metric.kind === "number" && !metric.stream).map((metric) => metric.key));
      if (this.ofRun) this.toolbar.setRanks(mostWriters(metrics), streamRanks(metrics, "system"));
      this.showSections();
      this.enlarged.update();
      this.onMetrics();
    } catch (error) {
      this.metricsFor = "";
      if (!this.metrics.length) fill(this.message, failed(/** @type {Error} */ (error).message, () => this.loadMetrics(true)));
    }
  }

  showSections() {
    const { view } = this.store;
    // A search also finds metrics that the script has hidden.
    const hidden = view.q ? () => false : hiddenBy(this.shownRuns());
    const metrics = this.metrics.filter((metric) => (!this.stream || metric.stream === this.stream) && !hidden(metric.folded));
    const sections = this.buildSections(metrics, view.sections, view.q);
    const open = !!view.q || !!this.stream;
    this.grid.show(sections.map((section) => ({ section, folded: !open && isFolded(section, view.fold) })));
    const logged = metrics.some((metric) => metric.stream !== "console");
    if (sections.length) fill(this.message);
    else if (!this.runs.runs.length) fill(this.message, this.emptyPage());
    else if (this.runs.searching) fill(this.message);
    else if (!this.shownRuns().length) fill(this.message, h("section", { class: "empty" }, h("h2", {}, "No runs are shown"), h("p", {}, "Select runs in the list, or change its search.")));
    else if (logged) fill(this.message, h("section", { class: "empty" }, h("h2", {}, findPatternFlaw(view.q) ? "The search is not a valid expression" : "No metric matches"), h("p", {}, `No metric of the shown runs ${findPatternFlaw(view.q) ? "contains" : "matches"} ${view.q}`)));
    else if (this.stream) fill(this.message, h("section", { class: "empty" }, h("h2", {}, "No system metrics"), h("p", {}, "They are recorded every 15 seconds; STEPWELL_SYSTEM_SECONDS sets another interval.")));
    else if (this.metricsFor) fill(this.message, this.emptyPage());
  }

  /** Build what the page shows without charts: it does not exist, or has logged nothing. */
  emptyPage() {
    const { entity, project, awaited, runs } = this.runs;
    const shown = this.shownRuns();
    const exists = this.exists || runs.length > 0;
    return emptyPage({ entity, project, run: awaited ?? undefined, exists, states: shown.map(({ state }) => state) }, shown.length === 1 ? shown[0].run_id : null);
  }

  /**
   * Build sections; on the page of a run, the system metrics of all ranks are in one panel.
   * @param {Metric[]} metrics
   * @param {"first" | "all"} by
   * @param {string} search
   */
  buildSections(metrics, by, search) {
    return buildSections(this.ofRun ? combineRanks(metrics, this.store.view.rank) : metrics, by, search);
  }

  /**
   * Show only the metrics of a stream; "": all.
   * @param {string} stream
   */
  showStream(stream) {
    if (this.stream === stream) return;
    this.stream = stream;
    this.toolbar.ranks?.setStream(stream);
    this.showSections();
  }

  /** @param {Section} section */
  fold(section) {
    const { fold } = this.store.view;
    const turned = fold.includes(section.name) ? fold.filter((name) => name !== section.name) : [...fold, section.name];
    this.store.set({ fold: turned });
  }

  /**
   * Handle updates of runs. Visible series are requested again; the others when they are shown.
   * @param {import("../api/run_events.js").RunUpdate[]} updates
   */
  runsUpdated(updates) {
    const { entity, project } = this.runs;
    this.series.runsChanged(updates.map(({ run_id, offset }) => [`${entity}/${project}/${run_id}`, offset]));
    for (const update of updates) if (this.runs.concerns(update.run_id)) this.updates.set(update.run_id, update);
    this.compare();
  }

  /** Find the runs that have changed since they were read, and schedule reading them again. */
  compare() {
    if (!this.known) return;
    for (const { run_id, offset, state } of this.updates.values()) {
      const run = this.runs.byId.get(run_id);
      if (!run || run.complete_to.offset !== offset || run.state !== state) this.pending.add(run_id);
    }
    this.updates.clear();
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
    for (const panel of this.grid.panels) panel.runsChanged(paths);
    try {
      for (const id of await this.runs.refresh(ids)) this.pending.add(id);
    } catch (error) {
      if (!(error instanceof api.ApiError)) throw error;
      // Retried with the next update, or after reconnecting.
      for (const id of ids) this.pending.add(id);
    }
    if (!this.metrics.length) void this.loadMetrics(true);
  }
}
