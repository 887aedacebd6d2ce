/** The base of panels that show values at single steps: the rows of each shown run. */

import { Panel } from "./panel.js";
import { RowsCache } from "./rows_cache.js";

const RUNS_MAX = 24;

export class RowsPanel extends Panel {
  /** @param {ConstructorParameters<typeof Panel>} given */
  constructor(...given) {
    super(...given);
    this.rows = new RowsCache(this.spec.key, this.spec.kind, () => this.draw());
  }

  destroy() {
    super.destroy();
    this.rows.destroy();
  }

  runs() {
    return this.space.shownRuns().slice(0, RUNS_MAX);
  }

  update() {
    this.rows.load(this.runs());
    this.draw();
  }

  /** @param {Set<string>} paths */
  runsChanged(paths) {
    for (const run of this.runs()) if (paths.has(run.path)) this.rows.refresh(run);
  }

  /** Show the loaded rows. */
  draw() {}

  /** Show a status if there are no rows. */
  updateStatus() {
    if (this.runs().some((run) => this.rows.rows.get(run.path)?.length)) this.hideStatus();
    else if (this.rows.error) this.showStatus(this.rows.error.message, () => this.update());
    else if (!this.rows.pending.size) this.showStatus("The shown runs have not logged this metric.");
  }
}
