/** The dialog that changes, stops and deletes runs: one run with all of its texts, or several alike. */

import { ApiError, path, request } from "../api/service.js";
import { fill, h, iconButton } from "../ui/dom.js";
import { count } from "../ui/format.js";

/** @typedef {import("../types.js").Run} Run */
/** @typedef {Record<string, string | string[]>} Change */
/** @typedef {{runs: number, rows: number, bytes: number, stored: boolean | null}} Deletion what a deletion removes */

/** Seconds for which a change waits to be stored. */
const WAIT = 10;
const NAMED = 5;
const UNITS = ["bytes", "KiB", "MiB", "GiB", "TiB"];

class ChangeDialog {
  /**
   * @param {Run[]} runs at least one, all of one project
   * @param {(deleted: boolean) => void} done called after the runs were changed, or deleted
   */
  constructor(runs, done) {
    this.runs = runs;
    this.done = done;
    const [run] = runs;
    this.many = runs.length > 1;
    this.title = this.many ? `Change ${count(runs.length)} runs` : `Change ${run.name}`;
    this.note = h("p", { class: "muted", role: "status" });
    this.body = h("div", { class: "change-fields" });
    this.foot = h("div", { class: "dialog-foot" });
    this.dialog = h("dialog", { class: "dialog", "aria-label": this.title });
    fill(this.dialog, h("div", { class: "dialog-head" }, h("h2", {}, this.title), iconButton("close", "Close", () => this.dialog.close())), this.body, this.note, this.foot);
    this.dialog.addEventListener("close", () => this.dialog.remove());
    this.name = field("Name", run.name);
    this.notes = h("textarea", { rows: 4, "aria-label": "Notes" });
    this.notes.value = run.notes;
    this.tags = field("Tags, separated by commas", run.tags.join(", "));
    this.add = field("Add tags, separated by commas", "");
    this.remove = field("Remove tags", "");
    this.group = field("Group", this.many ? "" : run.group);
    this.showFields();
  }

  open() {
    document.body.append(this.dialog);
    this.dialog.showModal();
  }

  showFields() {
    const own = [labelled("Name", this.name), labelled("Notes", this.notes), labelled("Tags", this.tags)];
    const shared = [labelled("Add tags", this.add), labelled("Remove tags", this.remove)];
    fill(this.body, ...(this.many ? shared : own), labelled("Group", this.group));
    const running = this.runs.filter(({ state }) => state === "running").length;
    fill(
      this.foot,
      h("button", { type: "button", class: "danger", onclick: () => this.askDeletion() }, "Delete…"),
      h("button", { type: "button", disabled: !running, onclick: () => this.stop() }, "Stop"),
      h("span", { class: "spacer" }),
      h("button", { type: "button", class: "primary", onclick: () => this.save() }, "Save"),
    );
    this.note.textContent = this.many ? listNames(this.runs) : "";
  }

  /** Return what was changed; nothing for fields that are as they were. @returns {Change} */
  change() {
    const [run] = this.runs;
    const group = this.group.value.trim();
    /** @type {Change} */
    const change = {};
    if (this.many) {
      if (this.add.value.trim()) change.tags_add = splitTags(this.add.value);
      if (this.remove.value.trim()) change.tags_remove = splitTags(this.remove.value);
      if (group) change.group = group;
      return change;
    }
    if (this.name.value !== run.name) change.name = this.name.value;
    if (this.notes.value !== run.notes) change.notes = this.notes.value;
    if (this.tags.value !== run.tags.join(", ")) change.tags = splitTags(this.tags.value);
    if (group !== run.group) change.group = group;
    return change;
  }

  save() {
    const change = this.change();
    if (!Object.keys(change).length) return this.dialog.close();
    return this.send("PATCH", "", { change });
  }

  stop() {
    return this.send("POST", "/stop", {});
  }

  /** Ask, with what goes, before anything is deleted. */
  async askDeletion() {
    const found = await this.request("POST", "/delete", {}, "?dry_run=true");
    if (!found) return;
    const { runs, rows, bytes } = /** @type {Deletion} */ (found);
    fill(
      this.body,
      h("p", {}, h("strong", {}, `Delete ${count(runs)} ${runs === 1 ? "run" : "runs"} for good?`)),
      h("p", {}, `${listNames(this.runs)} – with all metrics, media, console output and ${count(rows)} rows (${size(bytes)}). This can't be undone.`),
    );
    fill(
      this.foot,
      h("button", { type: "button", onclick: () => this.showFields() }, "Keep"),
      h("button", { type: "button", class: "danger", onclick: () => this.send("POST", "/delete", {}) }, `Delete ${count(runs)} ${runs === 1 ? "run" : "runs"}`),
    );
    this.note.textContent = "";
  }

  /** @param {string} method @param {string} below @param {object} body */
  async send(method, below, body) {
    const answer = await this.request(method, below, body, `?wait=${WAIT}`);
    if (!answer) return;
    this.dialog.close();
    this.done(below === "/delete");
  }

  /**
   * Send a request about the runs; return null after a failure, which is shown.
   * @param {string} method
   * @param {string} below
   * @param {object} body
   * @param {string} parameters
   */
  async request(method, below, body, parameters) {
    const [{ entity, project }] = this.runs;
    this.note.textContent = "…";
    this.dialog.setAttribute("aria-busy", "true");
    try {
      return await request(`/projects/${path(entity, project)}/runs${below}${parameters}`, { method, body: { run_ids: this.runs.map(({ run_id }) => run_id), ...body } });
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.note.textContent = error.message;
      return null;
    } finally {
      this.dialog.removeAttribute("aria-busy");
    }
  }
}

/** @param {string} label @param {string} value */
function field(label, value) {
  const input = h("input", { type: "text", "aria-label": label });
  input.value = value;
  return input;
}

/** @param {string} label @param {HTMLElement} control */
function labelled(label, control) {
  return h("label", { class: "change-field" }, h("span", {}, label), control);
}

/** @param {string} text */
export function splitTags(text) {
  return [...new Set(text.split(",").map((tag) => tag.trim()).filter(Boolean))];
}

/** @param {{name: string}[]} runs */
export function listNames(runs) {
  const names = runs.slice(0, NAMED).map(({ name }) => name).join(", ");
  return runs.length > NAMED ? `${names} and ${count(runs.length - NAMED)} more` : names;
}

/** @param {number} bytes */
export function size(bytes) {
  let unit = 0;
  for (; bytes >= 1024 && unit < UNITS.length - 1; unit += 1) bytes /= 1024;
  return `${unit ? bytes.toFixed(1) : bytes} ${UNITS[unit]}`;
}

/**
 * Open the dialog.
 * @param {Run[]} runs at least one, all of one project
 * @param {(deleted: boolean) => void} done called after the runs were changed, or deleted
 */
export function changeRuns(runs, done) {
  new ChangeDialog(runs, done).open();
}
