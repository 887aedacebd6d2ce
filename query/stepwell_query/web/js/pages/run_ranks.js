/** The ranks of a run, compared by one metric: the slowest, and the one that differs most from the others. */

import { writerSeries } from "../api/writer_series.js";
import { compareRanks } from "../series/rank_stats.js";
import { fill, h } from "../ui/dom.js";
import { count, exact, short, time } from "../ui/format.js";
import { searchable } from "../ui/searchable.js";

/** @typedef {import("../types.js").Run} Run */
/** @typedef {import("../series/rank_stats.js").RankStats} RankStats */

/** Points of each rank: enough to compare the ranks over the course of the run. */
const POINTS = 64;
const ROWS_MAX = 1_000;
const HEADS = ["Rank", "Last step", "Last row", "Last value", "Mean", "Minimum", "Maximum", "NaN", "Deviation"];
const TEXTS = new Set(["Rank", "Last row"]);

export class RunRanks {
  /**
   * @param {Run} run
   * @param {import("../state/view_state.js").Store} store
   * @param {{metrics: import("../types.js").Metric[]}} source of the run's metrics
   */
  constructor(run, store, source) {
    this.store = store;
    this.source = source;
    this.run = run;
    this.readKey = "";
    this.choice = h("select", { "aria-label": "Metric", onchange: () => store.set({ metric: this.choice.value }, { step: true }) });
    this.note = h("p", { class: "muted", role: "status" }, "Loading…");
    this.facts = h("p", { class: "rank-facts" });
    this.body = h("tbody");
    const explained = { Deviation: "Root mean square of the differences from the mean of all ranks, over buckets of steps that the rank has" };
    const heads = HEADS.map((head) => h("th", { scope: "col", class: TEXTS.has(head) ? "" : "number", title: explained[/** @type {keyof typeof explained} */ (head)] }, head));
    const table = h("table", { class: "plain ranks-table", "aria-label": "Ranks" }, h("thead", {}, h("tr", {}, heads)), this.body);
    this.element = h("div", { class: "list-tab" }, h("div", { class: "ranks-head" }, searchable(this.choice), this.facts), this.note, h("div", { class: "ranks-scroll", tabindex: "0" }, table));
    this.destroy = store.on((_, changed) => changed.has("metric") && this.update(this.run));
    this.update(run);
  }

  /** @param {Run} run */
  update(run) {
    this.run = run;
    const keys = this.source.metrics.filter(({ kind, writers, stream }) => kind === "number" && writers > 1 && !stream).map(({ key }) => key);
    const { metric } = this.store.view;
    const key = metric || keys[0];
    const offered = metric && !keys.includes(metric) ? [metric, ...keys] : keys;
    if (offered.join("\n") !== [...this.choice.options].map(({ value }) => value).join("\n")) fill(this.choice, offered.map((name) => h("option", { value: name }, name)));
    if (!key) return;
    this.choice.value = key;
    void this.read(key);
  }

  /** Read the metric of all ranks, unless it is known up to the run's last stored row. @param {string} key */
  async read(key) {
    const state = `${this.run.complete_to.offset}\n${key}`;
    if (state === this.readKey) return;
    this.readKey = state;
    try {
      const series = await writerSeries(this.run, key, POINTS);
      if (state === this.readKey) this.show(compareRanks(series.filter(({ kind }) => kind === "number")));
    } catch (error) {
      if (state !== this.readKey) return;
      this.readKey = "";
      fill(this.note, `${/** @type {Error} */ (error).message} `, h("button", { type: "button", onclick: () => this.read(key) }, "Try again"));
    }
  }

  /** @param {import("../series/rank_stats.js").Comparison} comparison */
  show({ ranks, slowest, different }) {
    const furthest = ranks.reduce((most, rank) => Math.max(most, rank.step), 0);
    fill(
      this.facts,
      slowest && ["Slowest: ", h("strong", { class: "slowest-rank" }, slowest.name), slowest.step < furthest ? `, ${count(furthest - slowest.step)} steps short. ` : ", the last to reach its step. "],
      different && ["Differs most: ", h("strong", { class: "different-rank" }, different.name), different.nans ? `, ${count(different.nans)} × NaN.` : `, deviation ${short(different.deviation)}.`],
    );
    fill(
      this.body,
      ranks.slice(0, ROWS_MAX).map((rank) => rankRow(rank, [...(rank === slowest ? ["slowest"] : []), ...(rank === different ? ["differs most"] : [])])),
    );
    this.note.textContent = !ranks.length ? "No rank has logged this metric." : ranks.length > ROWS_MAX ? `The first ${count(ROWS_MAX)} of ${count(ranks.length)} ranks.` : "";
  }
}

/** @param {RankStats} rank @param {string[]} marks */
function rankRow(rank, marks) {
  const numbers = [rank.last, rank.mean, rank.min, rank.max].map((value) => h("td", { class: "number", title: exact(value) }, short(value)));
  return h(
    "tr",
    {},
    h("th", { scope: "row" }, rank.name, marks.map((mark) => h("span", { class: "tag" }, mark))),
    h("td", { class: "number" }, count(rank.step)),
    h("td", {}, time(new Date(rank.time * 1000).toISOString())),
    numbers,
    h("td", { class: rank.nans ? "number bad" : "number" }, count(rank.nans)),
    h("td", { class: "number" }, Number.isNaN(rank.deviation) ? "–" : short(rank.deviation)),
  );
}
