/** The search over the runs of a project: the service evaluates the filter. */

import { limits, runFields } from "../api/service_info.js";
import * as api from "../api/service.js";
import { columnInText, toRunFilter } from "./run_filter.js";

/** @typedef {import("../types.js").Run} Run */

/** Runs that are read at most. */
export const RUNS_MAX = 5_000;
const AGAIN_MS = 3_000;

export class RunSearch {
  /**
   * @param {{entity: string, project: string, runs: Run[], changed: () => void}} model the runs that are searched; its
   *   `changed` is called when a result has arrived
   */
  constructor(model) {
    this.model = model;
    /** The text of the search, and the filter that it stands for. */
    this.text = "";
    this.filter = "";
    /** @type {Run[] | null} the runs for which the filter was last evaluated */
    this.evaluatedFor = null;
    /** @type {Set<string> | null} ids of the runs that pass the filter; null: all runs */
    this.passing = null;
    /** True while the first result of a filter is pending. */
    this.pending = false;
    this.error = "";
    this.timer = 0;
    this.controller = new AbortController();
  }

  /**
   * Set the text of the search. The result is read again after runs have changed.
   * @param {string} text
   * @param {boolean} shows whether runs are shown, of all or of the previous result
   */
  update(text, shows) {
    this.text = text;
    const filter = text.trim() ? toRunFilter(text, runFields()) : "";
    if (filter !== this.filter) {
      this.filter = filter;
      this.evaluatedFor = null;
      clearTimeout(this.timer);
      this.timer = 0;
      this.controller.abort();
      this.error = "";
      this.pending = !!filter;
      // The previous result stays until the next one arrives; at first, there is none.
      if (!filter) this.passing = null;
      else if (!shows) this.passing = new Set();
      if (filter) void this.read();
    } else if (filter && this.evaluatedFor && this.evaluatedFor !== this.model.runs && !this.timer) {
      this.timer = window.setTimeout(() => {
        this.timer = 0;
        void this.read();
      }, AGAIN_MS);
    }
  }

  /** Search again after the service was unreachable. */
  retry() {
    if (this.error && this.evaluatedFor) void this.read();
  }

  async read() {
    const { filter } = this;
    const { entity, project, runs } = this.model;
    this.controller.abort();
    const controller = new AbortController();
    this.controller = controller;
    /** @type {Set<string>} */
    const passing = new Set();
    try {
      /** @type {string | undefined} */
      let cursor;
      do {
        const page = await api.runs(entity, project, { filter, columns: [], limit: limits().runs, cursor }, controller.signal);
        for (const run of page.runs) passing.add(run.run_id);
        cursor = page.next ?? undefined;
      } while (cursor && passing.size < RUNS_MAX);
    } catch (error) {
      if (controller.signal.aborted) return;
      if (!(error instanceof api.ApiError)) throw error;
      this.refused(error, runs);
      return;
    }
    this.pending = false;
    this.error = "";
    this.evaluatedFor = runs;
    this.passing = passing;
    this.model.changed();
  }

  /** @param {InstanceType<typeof api.ApiError>} error @param {Run[]} runs the runs that were searched */
  refused(error, runs) {
    this.pending = false;
    const { text } = this;
    this.error = error.message.replace(/^filter: /, "").replace(/\bcolumn (\d+)/, (_, column) => `column ${columnInText(text, runFields(), Number(column))}`);
    // An invalid search excludes no runs, unless the previous result is still shown.
    if (!error.isTemporary && !this.passing?.size) this.passing = null;
    this.evaluatedFor = error.isTemporary ? runs : null;
    this.model.changed();
  }
}
