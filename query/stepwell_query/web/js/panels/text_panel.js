/** A panel of texts and other values that are not drawn as curves: the newest first, for each shown run. */

import { h } from "../ui/dom.js";
import { count, shown } from "../ui/format.js";
import { RowsPanel } from "./rows_panel.js";
import { shownColor } from "../ui/theme.js";

const ROWS_MAX = 200;

export class TextPanel extends RowsPanel {
  /** @param {ConstructorParameters<typeof RowsPanel>} given */
  constructor(...given) {
    super(...given);
    this.list = h("div", { class: "texts", tabindex: "0", role: "region", "aria-label": this.spec.key });
    this.body.append(this.list);
    this.update();
  }

  draw() {
    if (this.gone) return;
    const runs = this.runs().filter((run) => this.rows.rows.get(run.path)?.length);
    this.updateStatus();
    this.list.replaceChildren(
      ...runs.map((run) => {
        const swatch = h("span", { class: "swatch" });
        swatch.style.background = shownColor(this.space.runs.color(run, this.space.store.view));
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
