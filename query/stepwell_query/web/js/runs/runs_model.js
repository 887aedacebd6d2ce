/** The loaded runs of a project: which match the search, which are drawn, and their groups and colours. */

import { limits, serviceInfoIsLoaded } from "../api/service_info.js";
import * as api from "../api/service.js";
import { paletteColor } from "../ui/palette.js";
import { DIVERGED, divergedFirst, findDiverged } from "./divergence.js";
import { groupRuns, sortRuns } from "./run_fields.js";
import { RUNS_MAX, RunSearch } from "./run_search.js";
import { findIncomplete, neededFields, readValues } from "./extra_columns.js";
import { natural } from "../ui/text_match.js";

/** @typedef {import("../types.js").Run} Run */
/** @typedef {import("../types.js").ViewState} ViewState */
/** @typedef {import("../charts/lines.js").Drawn} Drawn */

/** Runs of a page after the first one: with wide configs, a page has megabytes. */
const PAGE = 500;
const AGAIN_MS = 3_000;
const BY_ID_MAX = 5;

/** Runs that are drawn by default: the newest. */
export const SHOWN = 10;

export class RunsModel {
  /** @param {string} entity @param {string} project */
  constructor(entity, project) {
    this.entity = entity;
    this.project = project;
    /** @type {Run[]} newest first */
    this.runs = [];
    /** @type {Map<string, Run>} */
    this.byId = new Map();
    this.total = 0;
    /** @type {string | null} the id of the page's run, if the page shows one run */
    this.awaited = null;
    /** @type {string | null} */
    this.next = null;
    this.failed = "";
    /** @type {Set<() => void>} */
    this.listeners = new Set();
    /** @type {Run[] | null} */
    this.positionsFor = null;
    /** @type {Map<string, number>} */
    this.positionById = new Map();
    this.runSearch = new RunSearch(this);
    /** @type {Run[] | null} */
    this.sortedFor = null;
    /** @type {Set<string> | null} */
    this.sortedPassing = null;
    this.sortedBy = "";
    /** @type {Run[]} */
    this.sortedRuns = [];
    /** @type {Run[] | null} */
    this.divergedFor = null;
    /** @type {ReturnType<typeof findDiverged>} */
    this.divergedRuns = new Map();
    /** @type {Run[] | null} */
    this.groupsFor = null;
    this.groupedBy = "";
    /** @type {string[]} */
    this.groupNames = [];
    this.reading = false;
    this.readFields = "";
    this.readAt = 0;
    this.readTimer = 0;
  }

  /** @param {() => void} call */
  on(call) {
    this.listeners.add(call);
  }

  /**
   * Return whether updates of a run matter to this page.
   * @param {string} _ its id
   */
  concerns(_) {
    return true;
  }

  changed() {
    for (const call of [...this.listeners]) call();
  }

  /** Load the newest runs, then the others, page by page. */
  async load() {
    this.take(await api.runs(this.entity, this.project, {}), []);
    void this.loadRest();
  }

  /** Load the remaining pages; after a failure, `failed` has the reason. */
  async loadRest() {
    try {
      while (this.next && this.runs.length < RUNS_MAX) {
        const page = await api.runs(this.entity, this.project, { limit: PAGE, cursor: this.next });
        this.failed = "";
        this.take(page, this.runs);
      }
    } catch (error) {
      if (!(error instanceof api.ApiError)) throw error;
      this.failed = error.message;
      this.changed();
    }
  }

  /** @param {{runs: Run[], next: string | null, total: number}} page @param {Run[]} before */
  take(page, before) {
    this.next = page.next;
    this.total = page.total;
    this.adopt([...before, ...page.runs]);
  }

  /** @param {Run[]} runs newest first */
  adopt(runs) {
    const before = this.byId;
    const kept = (/** @type {Run} */ run) => {
      const known = before.get(run.run_id);
      return run.partial && !run.values && known?.values ? { ...run, values: known.values, values_offset: known.values_offset } : run;
    };
    this.byId = new Map(runs.map((run) => [run.run_id, kept(run)]));
    this.runs = [...this.byId.values()];
    this.changed();
  }

  /**
   * Read the fields that a view needs and that lists of runs leave out of wide configs.
   * @param {ViewState} view
   */
  async need(view) {
    const fields = neededFields(view, limits().columns);
    const incomplete = findIncomplete(this.runs, fields);
    if (this.reading || !incomplete.length) return;
    const wait = fields.join("\n") === this.readFields ? this.readAt + AGAIN_MS - Date.now() : 0;
    if (wait > 0) {
      this.readTimer ||= window.setTimeout(() => {
        this.readTimer = 0;
        this.changed();
      }, wait);
      return;
    }
    this.reading = true;
    this.readFields = fields.join("\n");
    try {
      this.addValues(await readValues(this.entity, this.project, incomplete, fields));
    } catch (error) {
      if (!(error instanceof api.ApiError)) throw error;
    }
    this.reading = false;
    this.readAt = Date.now();
    this.changed();
  }

  /** @param {Map<string, {values: Record<string, unknown>, offset: number}>} byRun */
  addValues(byRun) {
    this.runs = this.runs.map((run) => {
      const more = run.partial ? byRun.get(run.run_id) : undefined;
      return more ? { ...run, values: { ...run.values, ...more.values }, values_offset: more.offset } : run;
    });
    this.byId = new Map(this.runs.map((run) => [run.run_id, run]));
  }

  /**
   * Read changed runs again; new runs come first. A page of the newest runs and a few older ones are read; return the
   * ids of the remaining ones.
   * @param {string[]} ids
   * @returns {Promise<string[]>}
   */
  async refresh(ids) {
    /** @type {Map<string, Run>} */
    const fresh = new Map();
    if (ids.length > BY_ID_MAX || ids.some((id) => !this.byId.has(id))) {
      const page = await api.runs(this.entity, this.project, ids.length > limits().first_runs ? { limit: PAGE } : {});
      for (const run of page.runs) fresh.set(run.run_id, run);
      this.total = page.total;
    }
    const rest = ids.filter((id) => !fresh.has(id) && this.byId.has(id));
    const again = await Promise.all(rest.slice(0, BY_ID_MAX).map((id) => api.run(this.entity, this.project, id)));
    for (const run of again) fresh.set(run.run_id, run);
    const added = [...fresh.values()].filter((run) => !this.byId.has(run.run_id));
    this.adopt([...added, ...this.runs.map((run) => fresh.get(run.run_id) ?? run)]);
    return rest.slice(BY_ID_MAX);
  }

  /** Drop deleted runs. @param {string[]} ids */
  forget(ids) {
    const left = this.runs.filter((run) => !ids.includes(run.run_id));
    this.total -= this.runs.length - left.length;
    this.adopt(left);
  }

  /**
   * Search runs; `runSearch` has the result.
   * @param {ViewState} view
   */
  search(view) {
    if (view.rq.trim() && !(this.runs.length && serviceInfoIsLoaded())) return;
    this.runSearch.update(view.rq, this.sortedRuns.length > 0);
  }

  /**
   * Return the runs that pass the search, in the chosen order.
   * @param {ViewState} view
   */
  matching(view) {
    const { passing } = this.runSearch;
    if (this.sortedFor !== this.runs || this.sortedPassing !== passing || this.sortedBy !== view.sort) {
      this.sortedFor = this.runs;
      this.sortedPassing = passing;
      this.sortedBy = view.sort;
      const runs = passing ? this.runs.filter((run) => passing.has(run.run_id)) : this.runs;
      if (view.sort.replace(/^-/, "") !== DIVERGED) this.sortedRuns = sortRuns(runs, view.sort);
      else {
        const first = divergedFirst(runs, findDiverged(runs));
        this.sortedRuns = view.sort === DIVERGED ? first : first.reverse();
      }
    }
    return this.sortedRuns;
  }

  /**
   * Return the runs that diverged, among those that pass the search.
   * @param {ViewState} view
   */
  diverged(view) {
    const matching = this.matching(view);
    if (this.divergedFor !== matching) {
      this.divergedFor = matching;
      this.divergedRuns = findDiverged(matching);
    }
    return this.divergedRuns;
  }

  /**
   * Return the drawn runs: of those that pass the search, the chosen ones, otherwise the newest.
   * @param {ViewState} view
   */
  shown(view) {
    const matching = this.matching(view);
    if (view.show) {
      const chosen = new Set(view.show);
      return matching.filter((run) => chosen.has(run.run_id)).slice(0, limits().runs);
    }
    return matching.slice(0, SHOWN);
  }

  /**
   * Return what is drawn: each run, or each group of runs.
   * @param {ViewState} view
   * @returns {Drawn[]}
   */
  drawn(view) {
    const shown = this.shown(view);
    if (!view.group) {
      return shown.map((run) => ({ id: run.run_id, name: run.name, color: this.color(run, view), runs: [run.path], group: false }));
    }
    return groupRuns(shown, view.group).map(({ name, runs }) => ({
      id: name,
      name,
      color: this.groupColor(name, view),
      runs: runs.map((run) => run.path),
      group: true,
    }));
  }

  /** @param {Run} run @param {ViewState} view */
  color(run, view) {
    if (view.colors[run.run_id]) return view.colors[run.run_id];
    const position = this.positions.get(run.run_id) ?? 0;
    return paletteColor(this.total - 1 - position);
  }

  /** @param {string} name of a group @param {ViewState} view */
  groupColor(name, view) {
    if (this.groupsFor !== this.runs || this.groupedBy !== view.group) {
      this.groupsFor = this.runs;
      this.groupedBy = view.group;
      this.groupNames = groupRuns(this.runs, view.group).map((group) => group.name).sort(natural.compare);
    }
    return view.colors[name] ?? paletteColor(this.groupNames.indexOf(name));
  }

  /** The position of each run among all, the newest first. */
  get positions() {
    if (this.positionsFor !== this.runs) {
      this.positionsFor = this.runs;
      this.positionById = new Map(this.runs.map((run, position) => [run.run_id, position]));
    }
    return this.positionById;
  }
}
