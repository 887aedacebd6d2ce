/** The choices of a run with several ranks: how their metrics are drawn, and whose system metrics are shown. */

import { nodeChoices, readNodes } from "../series/nodes.js";
import { mostWriters, streamRanks } from "../series/ranks.js";
import { h } from "../ui/dom.js";
import { searchable } from "../ui/searchable.js";

/** @typedef {import("../state/view_state.js").Store} Store */

const MODES = [
  ["primary", "Ranks: primary"],
  ["band", "Ranks: band"],
  ["lines", "Ranks: lines"],
];

export class RankControls {
  /** @param {Store} store @param {() => void} onNodes called when nodes were read and a rank or a node is chosen */
  constructor(store, onNodes) {
    this.store = store;
    this.onNodes = onNodes;
    /** @type {import("../series/nodes.js").Nodes} of the ranks, as far as they are known */
    this.nodes = new Map();
    this.mode = h(
      "select",
      {
        hidden: true,
        "aria-label": "Ranks",
        title: "The primary rank, the mean of all ranks with the band of their extremes, or a line for each rank",
        onchange: () => store.set({ ranks: /** @type {import("../types.js").RankMode} */ (this.mode.value) }, { step: true }),
      },
      MODES.map(([value, label]) => h("option", { value }, label)),
    );
    this.several = false;
    this.stream = "";
    this.filter = new RankFilter(store, "System metrics of rank", "system: ");
    this.element = h("span", { class: "ranks" }, this.mode, this.filter.element);
    this.update();
    store.on((_, changed) => changed.has("ranks") && this.update());
  }

  /**
   * Offer the ranks of a run; the nodes of new ones are read once the metrics are shown.
   * @param {import("../types.js").Run | undefined} run
   * @param {import("../types.js").Metric[]} metrics of the run
   */
  show(run, metrics) {
    const ranks = streamRanks(metrics, "system");
    this.several = mostWriters(metrics) > 1;
    this.filter.set(ranks, this.nodes);
    this.update();
    if (!run || ranks.every((rank) => this.nodes.has(rank))) return;
    readNodes(run, metrics).then(
      (nodes) => {
        this.nodes = nodes;
        this.filter.set(ranks, nodes);
        if (this.store.view.rank) this.onNodes();
      },
      () => undefined, // Without them, ranks alone are offered.
    );
  }

  /** Note the stream that is shown: system metrics always have a line for each rank. @param {string} stream */
  setStream(stream) {
    this.stream = stream;
    this.update();
  }

  update() {
    this.mode.hidden = !this.several || !!this.stream;
    this.mode.value = this.store.view.ranks;
  }
}

/** A choice of one rank, those of a node, or all; hidden if there is only one. */
export class RankFilter {
  /** @param {Store} store @param {string} label @param {string} [prefix] of the choices */
  constructor(store, label, prefix = "") {
    this.store = store;
    this.prefix = prefix;
    /** @type {{value: string, name: string}[]} */
    this.offered = [];
    this.element = h("select", { hidden: true, "aria-label": label, onchange: () => store.set({ rank: this.element.value }, { step: true }) });
    searchable(this.element);
    this.destroy = store.on((_, changed) => changed.has("rank") && this.update());
    this.update();
  }

  /** @param {string[]} ranks @param {import("../series/nodes.js").Nodes} nodes */
  set(ranks, nodes) {
    const offered = [...nodeChoices(nodes), ...ranks.map((rank) => ({ value: rank, name: rank }))];
    if (JSON.stringify(offered) === JSON.stringify(this.offered)) return;
    this.offered = offered;
    this.update();
  }

  update() {
    const { rank } = this.store.view;
    const { offered } = this;
    this.element.hidden = offered.length < 2 && !rank;
    // A rank of the address that has nothing here stays chosen, so that the choice is seen.
    const options = rank && !offered.some(({ value }) => value === rank) ? [{ value: rank, name: rank }, ...offered] : offered;
    this.element.replaceChildren(h("option", { value: "" }, `${this.prefix}all ranks`), ...options.map(({ value, name }) => h("option", { value }, this.prefix + name)));
    this.element.value = rank;
  }
}
