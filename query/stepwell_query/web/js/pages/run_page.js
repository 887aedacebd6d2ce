/** The page of a run: its charts, overview, console output, files and step conflicts. */

import { fill, h } from "../ui/dom.js";
import { ago, count } from "../ui/format.js";
import { stateDot } from "../runs/run_cells.js";
import { mostWriters } from "../series/ranks.js";
import { failed } from "./empty_states.js";
import { Workspace } from "./workspace.js";

/** @typedef {import("../types.js").Run} Run */
/** @typedef {{element: HTMLElement, update?: (run: Run) => void, destroy?: () => void}} Tab */

const TABS = [
  ["charts", "Charts"],
  ["overview", "Overview"],
  ["ranks", "Ranks"],
  ["system", "System"],
  ["console", "Console"],
  ["files", "Files"],
  ["conflicts", "Step conflicts"],
];

export class RunPage {
  /**
   * @param {HTMLElement} main
   * @param {import("../runs/single_run.js").SingleRun} runs
   * @param {import("../state/view_state.js").Store} store
   * @param {import("../api/connection.js").Connection} connection
   */
  constructor(main, runs, store, connection) {
    this.runs = runs;
    this.store = store;
    this.head = h("header", { class: "run-head" });
    this.tabs = h("div", { class: "tabs", role: "tablist", "aria-label": "Run" });
    this.holder = h("div", { class: "tab", role: "tabpanel", id: "tab", tabindex: "-1" });
    const inner = h("div", { class: "tab charts-tab", role: "tabpanel", id: "tab-charts" });
    this.charts = inner;
    this.space = new Workspace(inner, runs, store, connection, { list: false, onMetrics: () => this.metricsRead() });
    fill(main, this.head, this.tabs, inner, this.holder);
    this.shown = "";
    /** The tab whose modules are being loaded. */
    this.opening = "";
    /** @type {Tab | null} */
    this.tab = null;
    store.on((_, changed) => changed.has("tab") && this.show());
    runs.on(() => this.update());
    connection.onReconnected(() => this.run && this.tab?.update?.(this.run));
    this.tabs.addEventListener("keydown", (event) => this.key(event));
    this.show();
    fill(this.head, h("h1", {}, runs.id));
  }

  get run() {
    return /** @type {Run | undefined} */ (this.runs.runs[0]);
  }

  update() {
    const { run } = this;
    if (!run) return;
    fill(
      this.head,
      h("h1", {}, run.name),
      h("span", { class: "state-cell" }, stateDot(run.state), run.state),
      run.tags.map((tag) => h("span", { class: "tag" }, tag)),
      h("span", { class: "muted" }, `${count(run.last_step + 1)} steps · ${count(run.points)} points · started ${ago(run.started_at, Date.now())}`),
      h("button", { type: "button", onclick: () => this.change(run) }, "Edit"),
    );
    this.tabButtons();
    if (this.tab?.update) this.tab.update(run);
    else if (!this.tab) this.show();
  }

  /** @param {Run} run */
  async change(run) {
    const { changeRuns } = await import("../runs/change_dialog.js");
    changeRuns([run], (deleted) => (deleted ? this.space.forget([run.run_id]) : void this.runs.load().catch(() => undefined)));
  }

  /** True if the service does not know the run. */
  get missing() {
    return this.space.known && !this.run;
  }

  metricsRead() {
    if (this.missing) this.show();
    this.tabButtons();
    if (this.shown === "ranks" && this.run) this.tab?.update?.(this.run);
  }

  /** Return the tabs; that of ranks only for a run with several. */
  shownTabs() {
    const ranks = this.shown === "ranks" || mostWriters(this.space.metrics) > 1;
    return TABS.filter(([name]) => name !== "ranks" || ranks);
  }

  tabButtons() {
    const focused = this.tabs.contains(document.activeElement);
    fill(
      this.tabs,
      this.shownTabs().map(([name, label]) => {
        const chosen = name === this.shown;
        const conflicts = name === "conflicts" && this.run?.step_conflicts ? ` (${count(this.run.step_conflicts)})` : "";
        const controls = name === "charts" || name === "system" ? "tab-charts" : "tab";
        const onclick = () => this.store.set({ tab: name }, { step: true });
        return h("button", { type: "button", role: "tab", "aria-selected": String(chosen), "aria-controls": controls, tabindex: chosen ? "0" : "-1", onclick }, label + conflicts);
      }),
    );
    if (focused) /** @type {HTMLElement | null} */ (this.tabs.querySelector("[aria-selected=true]"))?.focus();
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    const moves = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!moves) return;
    const tabs = this.shownTabs();
    const at = tabs.findIndex(([name]) => name === this.shown);
    this.store.set({ tab: tabs[(at + moves + tabs.length) % tabs.length][0] }, { step: true });
  }

  show() {
    const tab = this.missing ? "charts" : this.store.view.tab;
    this.tabs.hidden = this.missing;
    const name = TABS.some(([known]) => known === tab) ? tab : "charts";
    const charts = name === "charts" || name === "system";
    if (this.shown !== name) {
      this.tab?.destroy?.();
      this.tab = null;
    }
    this.shown = name;
    this.tabButtons();
    this.charts.hidden = !charts;
    this.holder.hidden = charts;
    if (charts) {
      this.space.showStream(name === "system" ? "system" : "");
      this.space.grid.layout();
      return;
    }
    if (!this.tab && this.run) void this.open(name);
  }

  /** Open a tab, whose modules are loaded now. @param {string} name */
  async open(name) {
    if (this.opening === name) return;
    this.opening = name;
    fill(this.holder);
    try {
      const make = await loadTab(name);
      if (this.shown !== name || this.tab || !this.run) return;
      this.tab = make(this.run, this.store, this.space);
      fill(this.holder, this.tab.element);
    } catch (error) {
      fill(this.holder, failed(/** @type {Error} */ (error).message, () => this.show()));
    } finally {
      if (this.opening === name) this.opening = "";
    }
  }
}

/**
 * Load the modules of a tab: most visits see the charts alone.
 * @param {string} name
 * @returns {Promise<(run: Run, store: import("../state/view_state.js").Store, space: Workspace) => Tab>}
 */
async function loadTab(name) {
  if (name === "overview") return (await import("./run_overview.js")).overviewTab;
  if (name === "console") {
    const { RunConsole } = await import("./run_console.js");
    return (run, store) => new RunConsole(run, store);
  }
  if (name === "ranks") {
    const { RunRanks } = await import("./run_ranks.js");
    return (run, store, space) => new RunRanks(run, store, space);
  }
  const { conflictsTab, filesTab } = await import("../runs/run_tables.js");
  return name === "files" ? filesTab : conflictsTab;
}
