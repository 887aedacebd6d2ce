/** The console output of a run: its last lines, earlier ones on request, and new ones as they arrive. */

import { loadServiceInfo } from "../api/service_info.js";
import { history, runMetrics } from "../api/service.js";
import { fill, h } from "../ui/dom.js";
import { count } from "../ui/format.js";
import { textMatcher } from "../ui/text_match.js";

/** @typedef {import("../types.js").Run} Run */
/** @typedef {{number: number, text: string, error: boolean}} ConsoleLine */

const LINES = 1_000;
const NEAR = 40;

export class RunConsole {
  /** @param {Run} run */
  constructor(run) {
    this.run = run;
    this.offset = -2;
    /** @type {Map<number, ConsoleLine>} */
    this.lines = new Map();
    this.search = h("input", { type: "search", placeholder: "Search lines (regex)", "aria-label": "Search lines", oninput: () => this.show() });
    this.earlier = h("button", { type: "button", hidden: true, onclick: () => this.readEarlier() }, "Earlier lines");
    this.note = h("span", { class: "muted", role: "status" }, "Loading…");
    this.text = h("pre", { class: "console", tabindex: "0", role: "log", "aria-label": "Console output" });
    this.element = h("div", { class: "console-tab" }, h("div", { class: "console-head" }, this.search, this.earlier, this.note), this.text);
    this.update(run);
  }

  /** @param {Run} run */
  update(run) {
    this.run = run;
    void this.readNew();
  }

  async readNew() {
    try {
      const known = [...this.lines.keys()];
      const newest = known.length ? known[known.length - 1] : await this.firstOfLastLines();
      await this.read({ min_step: Math.max(0, newest) });
    } catch (error) {
      fill(this.note, `${/** @type {Error} */ (error).message} `, h("button", { type: "button", onclick: () => this.readNew() }, "Try again"));
    }
  }

  async firstOfLastLines() {
    const metrics = await runMetrics(this.run);
    const lasts = metrics.filter((metric) => metric.stream === "console").map((metric) => metric.last_step);
    return lasts.length ? Math.max(...lasts) - LINES + 1 : 0;
  }

  async readEarlier() {
    const first = Math.min(...this.lines.keys());
    await this.read({ min_step: Math.max(0, first - LINES), max_step: first - 1 });
  }

  /** @param {{min_step: number, max_step?: number}} range */
  async read(range) {
    const { samples } = (await loadServiceInfo()).limits;
    const answer = await history(this.run, { stream: "console", samples, ...range });
    for (const row of answer.rows) {
      const texts = Object.entries(row).filter(([key]) => !key.startsWith("_"));
      // Each line is of stdout or stderr; lines are numbered over both.
      for (const [key, text] of texts) this.lines.set(row._step, { number: row._step, text: String(text), error: key.endsWith("stderr") });
    }
    this.lines = new Map([...this.lines].sort(([a], [b]) => a - b));
    this.show();
  }

  show() {
    const test = textMatcher(this.search.value);
    const matching = [...this.lines.values()].filter((line) => test(line.text));
    const { scrollTop, scrollHeight, clientHeight } = this.text;
    const follows = scrollHeight - scrollTop - clientHeight < NEAR;
    fill(this.text, matching.map((line) => h("span", { class: line.error ? "line error" : "line", "data-number": line.number }, `${line.text}\n`)));
    if (follows) this.text.scrollTop = this.text.scrollHeight;
    const first = Math.min(...this.lines.keys());
    this.earlier.hidden = !(this.lines.size && first > 0);
    this.note.textContent = this.lines.size ? `${count(matching.length)} lines` : "No output was captured (STEPWELL_CONSOLE=auto captures what Python writes).";
  }
}
