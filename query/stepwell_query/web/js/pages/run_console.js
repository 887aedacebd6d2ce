/** The console output of a run: its last lines, earlier ones on request, and new ones as they arrive. */

import { loadServiceInfo } from "../api/service_info.js";
import { history, metrics as readMetrics } from "../api/service.js";
import { includesRank, readNodes } from "../series/nodes.js";
import { hasRanks, labelRank, parseStreamKey, streamRanks } from "../series/ranks.js";
import { fill, h } from "../ui/dom.js";
import { count } from "../ui/format.js";
import { natural, textMatcher } from "../ui/text_match.js";
import { RankFilter } from "./rank_controls.js";

/** @typedef {import("../types.js").Run} Run */
/** @typedef {{number: number, rank: string, text: string, error: boolean}} ConsoleLine */

const LINES = 1_000;
const NEAR = 40;

export class RunConsole {
  /** @param {Run} run @param {import("../state/view_state.js").Store} store */
  constructor(run, store) {
    this.run = run;
    this.store = store;
    /** @type {Map<string, ConsoleLine>} by number and rank, in this order */
    this.lines = new Map();
    /** @type {import("../types.js").Metric[]} */
    this.metrics = [];
    /** @type {import("../series/nodes.js").Nodes} */
    this.nodes = new Map();
    this.filter = new RankFilter(store, "Console output of rank");
    this.off = store.on((_, changed) => changed.has("rank") && this.chooseRank());
    this.search = h("input", { type: "search", placeholder: "Search lines (regex)", "aria-label": "Search lines", oninput: () => this.show() });
    this.earlier = h("button", { type: "button", hidden: true, onclick: () => this.readEarlier() }, "Earlier lines");
    this.note = h("span", { class: "muted", role: "status" }, "Loading…");
    this.text = h("pre", { class: "console", tabindex: "0", role: "log", "aria-label": "Console output" });
    this.element = h("div", { class: "console-tab" }, h("div", { class: "console-head" }, this.search, this.filter.element, this.earlier, this.note), this.text);
    this.update(run);
  }

  /** @param {Run} run */
  update(run) {
    this.run = run;
    void this.readNew();
  }

  destroy() {
    this.off();
    this.filter.destroy();
  }

  /** Read the lines of the chosen rank only: those of all ranks together are further apart. */
  chooseRank() {
    this.lines = new Map();
    fill(this.note, "Loading…");
    fill(this.text);
    void this.readNew();
  }

  async readNew() {
    try {
      const { rank } = this.store.view;
      await this.readMetrics();
      await this.read({ min_step: Math.max(0, this.lines.size ? this.commonNumber() : this.firstOfLastLines()) }, rank);
    } catch (error) {
      fill(this.note, `${/** @type {Error} */ (error).message} `, h("button", { type: "button", onclick: () => this.readNew() }, "Try again"));
    }
  }

  async readMetrics() {
    const { entity, project, run_id } = this.run;
    const metrics = await readMetrics(entity, project, [run_id]);
    this.metrics = metrics.filter((metric) => metric.stream === "console");
    const ranks = streamRanks(this.metrics);
    // Without the nodes, ranks alone are offered.
    if (!ranks.every((rank) => this.nodes.has(rank))) this.nodes = await readNodes(this.run, metrics).catch(() => this.nodes);
    this.filter.set(ranks, this.nodes);
  }

  /** Return the metrics of the chosen rank or node, otherwise those of all ranks. */
  chosen() {
    const { rank } = this.store.view;
    const isJob = hasRanks(this.metrics);
    return this.metrics.filter(({ key }) => includesRank(rank, labelRank(parseStreamKey(key).rank, isJob), this.nodes));
  }

  /** Return the number from which the last lines are shown. */
  firstOfLastLines() {
    const lasts = this.chosen().map((metric) => metric.last);
    return lasts.length ? Math.max(...lasts) - LINES + 1 : 0;
  }

  /** Return the number up to which the lines of each rank are known: ranks count their lines separately. */
  commonNumber() {
    /** @type {Map<string, number>} */
    const last = new Map();
    for (const { rank, number } of this.lines.values()) last.set(rank, number);
    const numbers = [...last.values()];
    // What a rank prints that is further apart is found by choosing the rank.
    const known = Math.max(Math.min(...numbers), Math.max(...numbers) - LINES);
    const all = new Set(this.chosen().map(({ key }) => parseStreamKey(key).rank)).size;
    // A rank without a line yet may begin with the first of those shown.
    return last.size < all ? this.first() : known;
  }

  first() {
    const { value } = this.lines.values().next();
    return value ? value.number : 0;
  }

  async readEarlier() {
    const first = this.first();
    await this.read({ min_step: Math.max(0, first - LINES), max_step: first - 1 }, this.store.view.rank);
  }

  /** @param {{min_step: number, max_step?: number}} range @param {string} rank */
  async read(range, rank) {
    const { samples } = (await loadServiceInfo()).limits;
    const keys = this.chosen().map((metric) => metric.key);
    // Rows with one of several keys are requested by the stream: keys require a value of each.
    const requests = rank ? keys.map((key) => ({ key })) : [{ stream: "console" }];
    const answers = await Promise.all(requests.map((request) => history(this.run, { ...request, samples, ...range })));
    if (rank !== this.store.view.rank) return;
    const isJob = hasRanks(this.metrics);
    for (const row of answers.flatMap((answer) => answer.rows)) {
      const texts = Object.entries(row).filter(([key]) => !key.startsWith("_"));
      for (const [key, text] of texts) {
        const label = labelRank(parseStreamKey(key).rank, isJob);
        // Each line is of stdout or stderr; a rank's lines are numbered over both.
        this.lines.set(`${row._step} ${label}`, { number: row._step, rank: label, text: String(text), error: key.endsWith("stderr") });
      }
    }
    this.lines = new Map([...this.lines].sort(([, a], [, b]) => a.number - b.number || natural.compare(a.rank, b.rank)));
    this.show();
  }

  show() {
    const test = textMatcher(this.search.value);
    const matching = [...this.lines.values()].filter((line) => test(line.text));
    const { scrollTop, scrollHeight, clientHeight } = this.text;
    const follows = scrollHeight - scrollTop - clientHeight < NEAR;
    const named = streamRanks(this.chosen()).length > 1;
    fill(
      this.text,
      matching.map((line) => {
        const prefix = named ? h("span", { class: "line-rank" }, `${line.rank} `) : null;
        return h("span", { class: line.error ? "line error" : "line", "data-number": line.number }, prefix, `${line.text}\n`);
      }),
    );
    if (follows) this.text.scrollTop = this.text.scrollHeight;
    this.earlier.hidden = !(this.lines.size && this.first() > 0);
    this.note.textContent = this.lines.size ? `${count(matching.length)} lines` : "No output was captured (STEPWELL_CONSOLE=auto captures what Python writes).";
  }
}
