/** Runs of a page that change: which are read again, and when. */

import * as api from "../api/service.js";

/** @typedef {import("../api/run_events.js").RunUpdate} RunUpdate */
/** @typedef {import("../runs/runs_model.js").RunsModel} RunsModel */

const METRICS_MS = 3_000;
const RUNS_MS = 1_000;

export class RunRefresh {
  /**
   * @param {RunsModel} runs
   * @param {{loadMetrics: () => void, changed: (paths: Set<string>) => void, read: () => void}} on `loadMetrics` is called
   *   to read the metrics of the shown runs again, `changed` before runs are read again, with their paths, and `read` after it
   */
  constructor(runs, on) {
    this.runs = runs;
    this.on = on;
    /** @type {Map<string, RunUpdate>} updates that were not compared with the runs yet */
    this.updates = new Map();
    /** @type {Set<string>} ids of the runs to read again */
    this.pending = new Set();
    this.timers = { metrics: 0, runs: 0 };
  }

  /** @param {RunUpdate[]} updates */
  add(updates) {
    for (const update of updates) if (this.runs.concerns(update.run_id)) this.updates.set(update.run_id, update);
  }

  /** Drop deleted runs. @param {string[]} ids */
  forget(ids) {
    for (const id of ids) {
      this.pending.delete(id);
      this.updates.delete(id);
    }
  }

  /** Find the runs that have changed since they were read, and schedule reading them again. */
  compare() {
    for (const { run_id, offset, state } of this.updates.values()) {
      const run = this.runs.byId.get(run_id);
      if (!run || run.complete_to.offset !== offset || run.state !== state) this.pending.add(run_id);
    }
    this.updates.clear();
    if (!this.pending.size) return;
    this.timers.runs ||= window.setTimeout(() => this.read(), RUNS_MS);
    this.timers.metrics ||= window.setTimeout(() => {
      this.timers.metrics = 0;
      this.on.loadMetrics();
    }, METRICS_MS);
  }

  async read() {
    const ids = [...this.pending];
    this.pending.clear();
    this.timers.runs = 0;
    this.on.changed(new Set(ids.map((id) => `${this.runs.entity}/${this.runs.project}/${id}`)));
    try {
      for (const id of await this.runs.refresh(ids)) this.pending.add(id);
    } catch (error) {
      if (!(error instanceof api.ApiError)) throw error;
      // Retried with the next update, or after reconnecting.
      for (const id of ids) this.pending.add(id);
    }
    this.on.read();
  }
}
