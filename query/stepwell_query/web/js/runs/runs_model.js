/** The runs of a project, as far as they are loaded: which are found, shown, grouped, and how they are coloured. */

import * as api from "../api/service.js";
import { paletteColor } from "../ui/palette.js";
import { groupName, sorted } from "./run_fields.js";
import { runFilter } from "./run_filter.js";
import { lacking, neededFields, readValues } from "./extra_columns.js";

/** @typedef {import("../types.js").Run} Run */
/** @typedef {import("../types.js").ViewState} ViewState */
/** @typedef {import("../charts/lines.js").Drawn} Drawn */

const FIRST_PAGE = 50;
const PAGE = 500;
const RUNS_MAX = 5_000;
const AGAIN_MS = 3_000;
const FEW = 5;

/** Runs that are drawn when nobody has chosen: the newest. */
export const SHOWN = 10;
const METRICS_RUNS_MAX = 1_000;

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
    /** @type {string | null} the id of the only run that is waited for */
    this.awaited = null;
    /** @type {string | null} */
    this.next = null;
    this.failed = "";
    /** @type {Set<() => void>} */
    this.listeners = new Set();
    /** @type {Run[] | null} */
    this.placesOf = null;
    /** @type {Map<string, number>} */
    this.placeById = new Map();
    /** @type {Run[] | null} */
    this.foundFor = null;
    this.foundBy = "";
    /** @type {Run[]} */
    this.foundNow = [];
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
   * Whether news of a run are news here.
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
    this.take(await api.runs(this.entity, this.project, { limit: FIRST_PAGE }), []);
    void this.loadRest();
  }

  /** Load what is still to come; where that fails, `failed` says why. */
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
   * See to it that runs have what a view needs of them, also what lists of runs leave out of wide configs.
   * @param {ViewState} view
   */
  async need(view) {
    const fields = neededFields(view);
    const behind = lacking(this.runs, fields);
    if (this.reading || !behind.length) return;
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
      this.valued(await readValues(this.entity, this.project, behind, fields));
    } catch (error) {
      if (!(error instanceof api.ApiError)) throw error;
    }
    this.reading = false;
    this.readAt = Date.now();
    this.changed();
  }

  /** @param {Map<string, {values: Record<string, unknown>, offset: number}>} found by run */
  valued(found) {
    this.runs = this.runs.map((run) => {
      const more = run.partial ? found.get(run.run_id) : undefined;
      return more ? { ...run, values: { ...run.values, ...more.values }, values_offset: more.offset } : run;
    });
    this.byId = new Map(this.runs.map((run) => [run.run_id, run]));
  }

  /**
   * Read again what has moved on; new runs come in front. Many are read as pages of the newest, and of older ones a
   * few; return the ids of those that were left out.
   * @param {string[]} ids
   * @returns {Promise<string[]>}
   */
  async refresh(ids) {
    /** @type {Map<string, Run>} */
    const fresh = new Map();
    if (ids.length > FEW || ids.some((id) => !this.byId.has(id))) {
      const page = await api.runs(this.entity, this.project, { limit: ids.length > FIRST_PAGE ? PAGE : FIRST_PAGE });
      for (const run of page.runs) fresh.set(run.run_id, run);
      this.total = page.total;
    }
    const rest = ids.filter((id) => !fresh.has(id) && this.byId.has(id));
    const again = await Promise.all(rest.slice(0, FEW).map((id) => api.run(this.entity, this.project, id)));
    for (const run of again) fresh.set(run.run_id, run);
    const added = [...fresh.values()].filter((run) => !this.byId.has(run.run_id));
    this.adopt([...added, ...this.runs.map((run) => fresh.get(run.run_id) ?? run)]);
    return rest.slice(FEW);
  }

  /**
   * Return the runs that are searched for, in the chosen order.
   * @param {ViewState} view
   */
  found(view) {
    if (this.foundFor !== this.runs || this.foundBy !== `${view.sort} ${view.rq}`) {
      this.foundFor = this.runs;
      this.foundBy = `${view.sort} ${view.rq}`;
      this.foundNow = sorted(this.runs.filter(runFilter(view.rq)), view.sort);
    }
    return this.foundNow;
  }

  /**
   * Return the runs that are drawn: those chosen, else the newest ones; of them those searched for.
   * @param {ViewState} view
   */
  shown(view) {
    const found = this.found(view);
    if (view.show) {
      const chosen = new Set(view.show);
      return found.filter((run) => chosen.has(run.run_id)).slice(0, METRICS_RUNS_MAX);
    }
    return found.slice(0, SHOWN);
  }

  /**
   * Return what is drawn: each run, or, where runs are grouped, each group.
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
    const place = this.places.get(run.run_id) ?? 0;
    return paletteColor(this.total - 1 - place);
  }

  /** @param {string} name of a group @param {ViewState} view */
  groupColor(name, view) {
    if (this.groupsFor !== this.runs || this.groupedBy !== view.group) {
      this.groupsFor = this.runs;
      this.groupedBy = view.group;
      const natural = new Intl.Collator("en", { numeric: true });
      this.groupNames = groupRuns(this.runs, view.group).map((group) => group.name).sort(natural.compare);
    }
    return view.colors[name] ?? paletteColor(this.groupNames.indexOf(name));
  }

  /** The place of each run among all, the newest first. */
  get places() {
    if (this.placesOf !== this.runs) {
      this.placesOf = this.runs;
      this.placeById = new Map(this.runs.map((run, place) => [run.run_id, place]));
    }
    return this.placeById;
  }
}

/** One run alone, with the same ways to ask: what its own page shows. */
export class SingleRun extends RunsModel {
  /** @param {string} entity @param {string} project @param {string} run */
  constructor(entity, project, run) {
    super(entity, project);
    this.id = run;
    this.awaited = run;
  }

  /** @param {string} id */
  concerns(id) {
    return id === this.id;
  }

  async load() {
    this.take({ runs: [await api.run(this.entity, this.project, this.id)], next: null, total: 1 }, []);
  }

  async refresh() {
    await this.load();
    return [];
  }

  /** @param {ViewState} _ */
  shown(_) {
    return this.runs;
  }

  /** @param {ViewState} view @returns {Drawn[]} */
  drawn(view) {
    return this.runs.map((run) => ({ id: run.run_id, name: run.name, color: this.color(run, view), runs: [run.path], group: false }));
  }
}

/**
 * Return runs by the group that they are in, in the order in which groups come up.
 * @param {Run[]} runs
 * @param {string} field
 */
export function groupRuns(runs, field) {
  /** @type {Map<string, Run[]>} */
  const groups = new Map();
  for (const run of runs) {
    const name = groupName(run, field);
    groups.set(name, [...(groups.get(name) ?? []), run]);
  }
  return [...groups].map(([name, members]) => ({ name, runs: members }));
}
