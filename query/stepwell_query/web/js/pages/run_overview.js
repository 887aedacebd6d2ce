/** The overview of a run: its properties, config and summary. */

import { fill, h } from "../ui/dom.js";
import { count, duration, shown, time } from "../ui/format.js";
import { runDuration } from "../runs/run_fields.js";
import { isMedia } from "../media/references.js";
import { thumbnail } from "../media/thumbnail.js";
import { patternSearch } from "../ui/pattern_search.js";
import { textMatcher } from "../ui/text_match.js";

/** @typedef {import("../types.js").Run} Run */

const ROWS_MAX = 500;
/** Texts with more characters are scrolled. */
const LONG = 400;

/** @param {Run} given @returns {import("./run_page.js").Tab} */
export function overviewTab(given) {
  const about = h("dl", { class: "about" });
  const config = new Values("Config");
  const summary = new Values("Summary");
  const update = (/** @type {Run} */ run) => {
    fill(about, listFacts(run).map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]).flat());
    config.update(run.config);
    summary.update(run.summary);
  };
  update(given);
  const element = h("div", { class: "overview" }, h("section", {}, h("h2", {}, "Run"), about), config.element, summary.element);
  return { element, update };
}

/** @param {Run} run @returns {[string, string][]} */
function listFacts(run) {
  const seconds = runDuration(run);
  const asked = run.stop_requested && run.state === "running" ? " (asked to stop)" : "";
  const state = asked ? run.state + asked : run.exit_code ? `${run.state} (exit code ${run.exit_code})` : run.state;
  return [
    ["Path", run.path],
    ["State", state],
    ["Started", time(run.started_at)],
    ["Finished", time(run.finished_at)],
    ["Last activity", time(run.heartbeat_at)],
    ["Duration", seconds === undefined ? "–" : duration(seconds)],
    ["Host", run.host || "–"],
    ["Client", run.client || "–"],
    ["Group", run.group || "–"],
    ["Job type", run.job_type || "–"],
    ["Tags", run.tags.join(", ") || "–"],
    ["Notes", run.notes || "–"],
    ["Rows", count(run.log_rows)],
    ["Points", count(run.points)],
    ["Last step", run.last_step < 0 ? "–" : count(run.last_step)],
    ["Step conflicts", count(run.step_conflicts)],
  ];
}

/** A table of names and values with a search by name. */
class Values {
  /** @param {string} title */
  constructor(title) {
    const label = `Search ${title.toLowerCase()}`;
    this.pattern = patternSearch({ placeholder: `${label} (regex)`, "aria-label": label }, () => this.show());
    this.body = h("tbody");
    this.note = h("p", { class: "muted", role: "status" });
    this.element = h("section", {}, h("h2", {}, title), this.pattern.element, h("table", { class: "plain values", "aria-label": title }, this.body), this.note);
    /** @type {[string, unknown][]} */
    this.entries = [];
  }

  /** @param {Record<string, unknown>} values */
  update(values) {
    this.entries = flatten(values, "");
    this.show();
  }

  show() {
    const test = textMatcher(this.pattern.input.value);
    const matching = this.entries.filter(([name]) => test(name));
    fill(this.body, matching.slice(0, ROWS_MAX).map(([name, value]) => h("tr", {}, h("th", { scope: "row" }, name), h("td", {}, valueCell(name, value)))));
    const rest = matching.length - ROWS_MAX;
    this.note.textContent = !this.entries.length ? "None." : rest > 0 ? `${count(rest)} more: search for them.` : "";
  }
}

/** @param {string} name @param {unknown} value */
function valueCell(name, value) {
  if (isMedia(value)) return thumbnail(value, name, { words: true });
  const text = typeof value === "number" ? String(value) : shown(value);
  return text.length > LONG ? h("div", { class: "long", tabindex: "0", role: "region", "aria-label": name }, text) : text;
}

/** @param {Record<string, unknown>} values @param {string} prefix @returns {[string, unknown][]} */
function flatten(values, prefix) {
  return Object.entries(values).flatMap(([name, value]) => {
    const nested = typeof value === "object" && value !== null && !Array.isArray(value) && Object.keys(value).length && !isMedia(value);
    if (nested) return flatten(/** @type {Record<string, unknown>} */ (value), `${prefix}${name}.`);
    return [/** @type {[string, unknown]} */ ([prefix + name, value])];
  });
}
