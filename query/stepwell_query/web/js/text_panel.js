/** A panel of texts, or of values that are no curve: the newest first, of each shown run. */

import { h } from "./dom.js";
import { count, shown } from "./format.js";
import { Panel } from "./panel.js";
import { RowsSource } from "./rows_source.js";

const RUNS_MAX = 12;
const ROWS_MAX = 200;

export class TextPanel extends Panel {
  /** @param {ConstructorParameters<typeof Panel>} given */
  constructor(...given) {
    super(...given);
    this.rows = new RowsSource(this.spec.key, this.spec.kind, () => this.draw());
    this.list = h("div", { class: "texts", tabindex: "0", role: "region", "aria-label": this.spec.key });
    this.body.append(this.list);
    this.update();
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

  draw() {
    if (this.gone) return;
    const runs = this.runs().filter((run) => this.rows.rows.get(run.path)?.length);
    if (this.rows.error && !runs.length) return this.say(this.rows.error.message, () => this.update());
    if (!runs.length && !this.rows.open.size) return this.say("The runs shown have not logged this.");
    this.quiet();
    this.list.replaceChildren(
      ...runs.map((run) => {
        const swatch = h("span", { class: "swatch" });
        swatch.style.background = this.space.runs.color(run, this.space.store.view);
        const rows = [...(this.rows.rows.get(run.path) ?? [])].reverse().slice(0, ROWS_MAX);
        return h(
          "section",
          { "aria-label": run.name },
          h("div", { class: "tile-head" }, swatch, h("span", { class: "tile-name" }, run.name)),
          rows.map((row) => h("div", { class: "text-row" }, h("span", { class: "muted number" }, count(row.step)), h("span", { class: "text" }, shown(row.value)))),
        );
      }),
    );
  }
}
