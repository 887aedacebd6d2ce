/** What panels have in common that show what was logged at single steps: the rows of each shown run. */

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
    this.rows.want(this.runs());
    this.draw();
  }

  /** @param {Set<string>} paths */
  moved(paths) {
    for (const run of this.runs()) if (paths.has(run.path)) this.rows.again(run);
  }

  /** Show the rows that are there. */
  draw() {}

  /** Say why there is nothing to show, where there is nothing. */
  explain() {
    if (this.runs().some((run) => this.rows.rows.get(run.path)?.length)) this.quiet();
    else if (this.rows.error) this.say(this.rows.error.message, () => this.update());
    else if (!this.rows.open.size) this.say("The runs shown have not logged this.");
  }
}
