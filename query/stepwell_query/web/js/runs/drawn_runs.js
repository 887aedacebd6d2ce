/** The runs that charts draw, found again only when the runs or what chooses them have changed. */

import { drawnOverOthers } from "../series/metric_definitions.js";

/** @typedef {import("../types.js").Run} Run */
/** @typedef {import("../charts/lines.js").Drawn} Drawn */

/** Parts of the view that choose what is drawn, and how. */
export const DRAWN_BY = ["rq", "show", "sort", "group", "colors"];

export class DrawnRuns {
  /** @param {import("./runs_model.js").RunsModel} runs @param {import("../state/view_state.js").Store} store */
  constructor(runs, store) {
    this.runs = runs;
    this.store = store;
    /** @type {Run[] | null} */
    this.drawnFor = null;
    /** @type {Set<string> | null} */
    this.drawnPassing = null;
    this.drawnKey = "";
    /** @type {Drawn[]} */
    this.drawnNow = [];
    /** @type {Drawn[] | null} */
    this.othersFor = null;
    this.othersNow = drawnOverOthers([]);
  }

  /** Return each drawn run, or each group of runs. */
  all() {
    const key = DRAWN_BY.map((name) => JSON.stringify(this.store.view[/** @type {keyof import("../types.js").ViewState} */ (name)])).join();
    // The result of a search arrives after the view has changed.
    if (this.drawnFor !== this.runs.runs || this.drawnPassing !== this.runs.runSearch.passing || this.drawnKey !== key) {
      this.drawnFor = this.runs.runs;
      this.drawnPassing = this.runs.runSearch.passing;
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
    const drawn = this.all();
    if (this.othersFor !== drawn) {
      this.othersFor = drawn;
      this.othersNow = drawnOverOthers(this.runs.shown(this.store.view));
    }
    return this.othersNow(folded);
  }
}
