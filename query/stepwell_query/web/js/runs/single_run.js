/** The run of a run's own page. */

import * as api from "../api/service.js";
import { RunsModel } from "./runs_model.js";

/** @typedef {import("../types.js").ViewState} ViewState */
/** @typedef {import("../charts/lines.js").Drawn} Drawn */

/** A single run with the interface of RunsModel, for the run's own page. */
export class SingleRun extends RunsModel {
  /** @param {string} entity @param {string} project @param {string} run */
  constructor(entity, project, run) {
    super(entity, project);
    this.id = run;
    this.awaited = run;
  }

  /** @param {string} id */
  concerns(id) {
    return id === this.id;
  }

  /** The page of a run has no search. */
  search() {}

  async load() {
    this.take({ runs: [await api.run(this.entity, this.project, this.id)], next: null, total: 1 }, []);
  }

  async refresh() {
    await this.load();
    return [];
  }

  /** @param {ViewState} _ */
  shown(_) {
    return this.runs;
  }

  /** @param {ViewState} view @returns {Drawn[]} */
  drawn(view) {
    return this.runs.map((run) => ({ id: run.run_id, name: run.name, color: this.color(run, view), runs: [run.path], group: false }));
  }
}
