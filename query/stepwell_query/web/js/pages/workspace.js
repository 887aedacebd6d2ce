/** The page of a project: its runs next to the charts of their metrics. Also the charts of a run's page. */

import { loadServiceInfo } from "../api/service_info.js";
import * as api from "../api/service.js";
import { hiddenBy } from "../series/metric_definitions.js";
import { fill, h } from "../ui/dom.js";
import { emptyPage, failed, noMatch, noRuns, noSystemMetrics } from "./empty_states.js";
import { Enlarged } from "../panels/enlarged.js";
import { VirtualGrid } from "../panels/virtual_grid.js";
import { FrameQueue } from "../ui/frame_queue.js";
import { onKey } from "../ui/keyboard.js";
import { RunEvents } from "../api/run_events.js";
import { loadPanels, makePanel } from "../panels/panel_kinds.js";
import { ownSection } from "../panels/chart_definitions.js";
import { RunRefresh } from "./run_refresh.js";
import { DRAWN_BY, DrawnRuns } from "../runs/drawn_runs.js";
import { RunsTable } from "../runs/runs_table.js";
import { buildSections, combineRanks, isFolded, orderSections } from "../panels/sections.js";
import { SeriesCache } from "../series/cache.js";
import { onTheme } from "../ui/theme.js";
import { Toolbar } from "./toolbar.js";

/** @typedef {import("../types.js").Metric} Metric */
/** @typedef {import("../panels/sections.js").Section} Section */
/** @typedef {import("../runs/runs_model.js").RunsModel} RunsModel */

const LISTED_BY = ["table", "columns", "base", "compare"];

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
    this.toolbar = new Toolbar(store, { ranks: !list, onAdd: () => void this.editChart(-1), onNodes: () => this.showSections(), nameOwner: (owner) => runs.byId.get(owner)?.name ?? owner });
    this.table = list ? new RunsTable(this) : null;
    this.message = h("div", { class: "message" });
    this.charts = h("div", { class: "charts" }, this.toolbar.element, this.message);
    this.element = h("div", { class: list ? "workspace" : "workspace alone" }, list ? h("h1", { class: "unseen" }, runs.project) : null, this.table?.element, this.charts);
    fill(main, this.element);
    this.grid = new VirtualGrid(this.charts, (spec) => makePanel(spec, this), (section) => this.fold(section), (order) => store.set({ order }, { step: true }));
    this.enlarged = new Enlarged(this);
    this.frames = new FrameQueue((busy) => this.charts.setAttribute("aria-busy", String(busy)));
    /** @type {Metric[]} */
    this.metrics = [];
    this.metricsFor = "";
    this.known = false;
    /** True if the service knows the project or the run. */
    this.exists = true;
    this.stream = "";
    /** @type {import("../runs/compare_view.js").CompareView | null} */
    this.comparison = null;
    this.drawnRuns = new DrawnRuns(runs, store);
    this.refresh = new RunRefresh(runs, {
      loadMetrics: () => void this.loadMetrics(true),
      changed: (paths) => this.grid.panels.forEach((panel) => panel.runsChanged(paths)),
      read: () => void (this.metrics.length || this.loadMetrics(true)),
    });
    store.on((_, changed) => this.changed(changed));
    onTheme(() => this.changed(new Set(["colors"])));
    runs.on(() => this.changed(new Set(["runs"])));
    connection.onReconnected(() => this.reconnected());
    /** @type {RunEvents | null} */
    this.live = null;
    this.keys();
    void this.load();
  }

  /**
   * Open the editor of a chart of several metrics.
   * @param {number} number of the chart; -1: a new one
   * @param {string[]} [keys] of a new one
   */
  async editChart(number, keys = []) {
    const { editChart } = await import("../panels/chart_editor.js");
    editChart(this, number, keys);
  }

  keys() {
    const { table, toolbar, store } = this;
    onKey("/", "Search metrics", () => toolbar.search.focus());
    if (!table) return;
    onKey("r", "Search runs", () => table.search.focus());
    onKey("t", "Runs as a table, or next to the charts", () => store.set({ table: !store.view.table, compare: "" }, { step: true }));
    onKey("c", "Compare the shown runs, or show their charts", () => table.compareShown());
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
    this.refresh.compare();
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
    this.runs.runSearch.retry();
    this.series.retry();
    this.enlarged.update();
    this.updatePanels();
    void this.loadMetrics(true);
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
    void this.showComparison(!!this.table && !view.table && !!view.compare && !none);
    if (["runs", ...LISTED_BY, ...DRAWN_BY].some((name) => changed.has(name))) {
      this.runs.search(view);
      this.table?.update();
      void this.runs.need(view);
    }
    void this.loadMetrics(false);
    const sections = ["q", "sections", "fold", "rank", "charts", "order"].some((name) => changed.has(name));
    // Names and states of runs do not affect sections that are shown.
    if (sections || !this.metrics.length) this.showSections();
    else if (changed.has("table")) this.grid.layout();
    this.enlarged.update();
    this.updatePanels();
  }

  /** Update the panels in the next frames, the one below the mouse before the others. */
  updatePanels() {
    const { panels } = this.grid;
    const hovered = panels.filter(({ element }) => element.matches(":hover"));
    this.frames.replace([...new Set([...hovered, ...panels])].map((panel) => () => panel.gone || panel.update()));
  }

  /** Show the comparison of the shown runs instead of their charts. @param {boolean} on */
  async showComparison(on) {
    this.element.classList.toggle("comparing", on);
    if (!on) return;
    if (!this.comparison) {
      const { CompareView } = await import("../runs/compare_view.js");
      if (!this.comparison) {
        this.comparison = new CompareView(this);
        this.element.append(this.comparison.element);
      }
    }
    this.comparison.update();
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
      await loadPanels(metrics);
      if (this.metricsFor !== shown) return;
      this.metrics = metrics;
      this.series.metricsChanged(new Map(metrics.filter(({ kind }) => kind === "number").flatMap(({ key, folded, runs }) => [[key, runs], [folded, runs]])));
      this.toolbar.setMetrics(metrics.filter((metric) => metric.kind === "number" && !metric.stream).map((metric) => metric.key));
      this.toolbar.ranks?.show(this.runs.runs[0], metrics);
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
    else if (this.runs.runSearch.pending) fill(this.message);
    else if (!this.shownRuns().length) fill(this.message, noRuns());
    else if (logged) fill(this.message, noMatch(view.q));
    else if (this.stream) fill(this.message, noSystemMetrics());
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
   * Build sections, after the charts that were put together here; on the page of a run, the system metrics of all ranks
   * are in one panel.
   * @param {Metric[]} metrics
   * @param {"first" | "all"} by
   * @param {string} search
   */
  buildSections(metrics, by, search) {
    const { rank, charts, order } = this.store.view;
    const { ranks } = this.toolbar;
    const sections = buildSections(ranks ? combineRanks(metrics, rank, ranks.nodes) : metrics, by, search);
    return this.stream ? sections : orderSections([...ownSection(charts, this.metrics, search), ...sections], order);
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
    const deleted = updates.filter((update) => update.deleted && this.runs.concerns(update.run_id)).map(({ run_id }) => run_id);
    updates = updates.filter((update) => !update.deleted);
    if (deleted.length) this.forget(deleted);
    this.series.runsChanged(updates.map(({ run_id, offset }) => [`${entity}/${project}/${run_id}`, offset]));
    this.refresh.add(updates);
    if (this.known) this.refresh.compare();
  }

  /** Drop deleted runs. @param {string[]} ids */
  forget(ids) {
    this.refresh.forget(ids);
    if (this.ofRun) this.exists = false;
    this.metrics = [];
    this.runs.forget(ids);
    void this.loadMetrics(true);
    this.onMetrics();
  }
}
