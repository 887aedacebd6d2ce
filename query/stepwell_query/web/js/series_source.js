/**
 * Series for all panels on the screen: asked for together once a frame, kept, and asked for again only when their run
 * has moved on. What was scrolled away is not waited for: its request is given up when nobody else wants it.
 */

import { ApiError, series } from "./api.js";

/** @typedef {import("./types.js").Points} Points */
/** @typedef {import("./api.js").SeriesAsked} SeriesAsked */

/**
 * @typedef {object} Part One run of what a panel wants.
 * @property {string} run the run's path
 * @property {number} [from] first step
 * @property {number} [to] last step
 */

/**
 * @typedef {object} Wanted
 * @property {string} key
 * @property {string} x "" for the metric's own axis
 * @property {number} points
 * @property {Part[]} parts
 */

/** @typedef {(found: Map<string, Points[]>, error: ApiError | null) => void} Tell what is there by run; may come often */
/** @typedef {{wanted: Wanted, tell: Tell, open: Set<Request>, error: ApiError | null, told: boolean}} Want */
/** @typedef {{controller: AbortController, wants: Set<Want>}} Request */
/** @typedef {{points: Points[], offset: number}} Kept */

const SERIES_MAX = 500;
const CELLS_MAX = 1_000_000;
const KEPT_MAX = 3_000;
const REFRESH_MS = 800;

/** How long a service rests between two refreshes, in the time that an answer takes it. */
const REST = 2;
const FRAME_MS = 8;

/** Panels drawn anew in one frame: without a graphics card, handing a canvas to the screen costs as much as drawing it. */
const FRAME_PANELS = 3;

export class SeriesSource {
  constructor() {
    /** @type {Map<string, Kept>} */
    this.kept = new Map();
    /** @type {Map<string, number>} the last offset of each run that is known to be stored */
    this.offsets = new Map();
    /** @type {Set<Want>} */
    this.wants = new Set();
    /** @type {Set<Want>} */
    this.due = new Set();
    /** @type {(() => void)[]} */
    this.tells = [];
    this.framed = false;
    this.refreshing = 0;
    /** Milliseconds that the last answer took. */
    this.took = 0;
  }

  /**
   * Ask for series until it is cancelled; `tell` hears what is there, and each time that it has changed.
   * @param {Wanted} wanted
   * @param {Tell} tell
   */
  want(wanted, tell) {
    /** @type {Want} */
    const want = { wanted, tell, open: new Set(), error: null, told: false };
    this.wants.add(want);
    this.ask(want);
    return () => {
      this.wants.delete(want);
      this.due.delete(want);
      for (const request of want.open) {
        request.wants.delete(want);
        if (!request.wants.size) request.controller.abort();
      }
    };
  }

  /**
   * Hear that runs have moved on; their series on the screen are asked for again, together and not too often.
   * @param {Iterable<[string, number]>} offsets by run
   */
  moved(offsets) {
    for (const [run, offset] of offsets) this.offsets.set(run, offset);
    if (this.refreshing) return;
    this.refreshing = window.setTimeout(() => {
      this.refreshing = 0;
      for (const want of this.wants) if (this.missing(want).length && !want.open.size) this.ask(want);
    }, Math.max(REFRESH_MS, this.took * REST));
  }

  /** Ask again for what could not be had. */
  retry() {
    for (const want of this.wants) if (want.error) this.ask(want);
  }

  /** @param {Want} want */
  ask(want) {
    this.due.add(want);
    this.frame();
  }

  frame() {
    if (this.framed) return;
    this.framed = true;
    requestAnimationFrame(() => {
      this.framed = false;
      this.flush();
      this.deliver();
    });
  }

  /** @param {Want} want @returns {Part[]} */
  missing({ wanted }) {
    return wanted.parts.filter((part) => {
      const kept = this.kept.get(placeOf(wanted, part));
      return !kept || kept.offset < (this.offsets.get(part.run) ?? -1);
    });
  }

  flush() {
    const due = [...this.due];
    this.due.clear();
    /** @type {Map<string, {asked: SeriesAsked, wants: Set<Want>}>} */
    const groups = new Map();
    for (const want of due) {
      want.error = null;
      const missing = this.missing(want);
      // What is kept from before shows at once, also what is behind by now.
      if (!want.told && want.wanted.parts.some((part) => this.kept.has(placeOf(want.wanted, part)))) this.later(want);
      for (const [run, asked] of byRange(want.wanted, missing)) {
        const found = groups.get(run) ?? { asked: { ...asked, keys: [] }, wants: new Set() };
        found.asked.keys = [...new Set([...found.asked.keys, ...asked.keys])];
        found.wants.add(want);
        groups.set(run, found);
      }
    }
    for (const { asked, wants } of groups.values()) {
      for (const part of split(asked)) {
        const keys = new Set(part.keys);
        void this.send(part, new Set([...wants].filter((want) => keys.has(want.wanted.key))));
      }
    }
  }

  /** @param {SeriesAsked} asked @param {Set<Want>} wants */
  async send(asked, wants) {
    /** @type {Request} */
    const request = { controller: new AbortController(), wants };
    for (const want of wants) want.open.add(request);
    const began = performance.now();
    try {
      await this.fetch(asked, request.controller.signal);
      this.took = performance.now() - began;
    } catch (error) {
      if (request.controller.signal.aborted) return;
      for (const want of wants) want.error = error instanceof ApiError ? error : new ApiError(0, String(error));
    }
    for (const want of request.wants) {
      want.open.delete(request);
      this.later(want);
      // What moved on while the answer was under way.
      if (!want.error && !want.open.size && this.missing(want).length) this.moved([]);
    }
  }

  /**
   * @param {SeriesAsked} asked
   * @param {AbortSignal} signal
   */
  async fetch(asked, signal) {
    try {
      const answer = await series(asked, signal);
      const found = new Map(answer.map((one) => [one.run, one]));
      for (const run of asked.runs) {
        const one = found.get(run);
        const known = this.offsets.get(run) ?? -1;
        // A run that is gone is not asked for again.
        const offset = one ? one.offset : known;
        if (offset > known) this.offsets.set(run, offset);
        for (const key of asked.keys) {
          const folded = key.toLowerCase();
          const points = one ? one.series.filter((each) => each.key.toLowerCase() === folded) : [];
          this.keep(placeOfAsked(asked, key, run), { points, offset });
        }
      }
    } catch (error) {
      const refused = error instanceof ApiError && error.status === 422 && error.errors.some((one) => one.field === "x");
      if (!refused) throw error;
      // A run that has not logged the metric of the x axis has no points on it; the others have.
      if (asked.runs.length > 1) {
        await Promise.all(asked.runs.map((run) => this.fetch({ ...asked, runs: [run] }, signal)));
        return;
      }
      const [run] = asked.runs;
      const offset = this.offsets.get(run) ?? -1;
      for (const key of asked.keys) this.keep(placeOfAsked(asked, key, run), { points: [], offset });
    }
  }

  /** @param {string} place @param {Kept} kept */
  keep(place, kept) {
    this.kept.delete(place);
    this.kept.set(place, kept);
    if (this.kept.size > KEPT_MAX) this.kept.delete(/** @type {string} */ (this.kept.keys().next().value));
  }

  /**
   * Tell what is there in a coming frame: each frame takes as many as fit into it.
   * @param {Want} want
   */
  later(want) {
    this.tells.push(() => {
      if (!this.wants.has(want)) return;
      want.told = true;
      /** @type {Map<string, Points[]>} */
      const found = new Map();
      for (const part of want.wanted.parts) {
        const kept = this.kept.get(placeOf(want.wanted, part));
        if (kept) found.set(part.run, kept.points);
      }
      want.tell(found, want.error);
    });
    this.frame();
  }

  deliver() {
    const began = performance.now();
    for (let told = 0; told < FRAME_PANELS && this.tells.length && performance.now() - began < FRAME_MS; told += 1) {
      this.tells.shift()?.();
    }
    if (this.tells.length) this.frame();
  }
}

/** @param {{key: string, x: string, points: number}} wanted @param {Part} part */
function placeOf(wanted, part) {
  return [part.run, wanted.key, wanted.x, wanted.points, part.from ?? "", part.to ?? ""].join("\n");
}

/** @param {SeriesAsked} asked @param {string} key @param {string} run */
function placeOfAsked(asked, key, run) {
  return placeOf({ key, x: asked.x ?? "", points: asked.points }, { run, from: asked.from, to: asked.to });
}

/**
 * Return what to ask for, by what may be asked together: the same runs over the same range of steps.
 * @param {Wanted} wanted
 * @param {Part[]} parts
 * @returns {Map<string, SeriesAsked>}
 */
function byRange(wanted, parts) {
  /** @type {Map<string, SeriesAsked>} */
  const ranges = new Map();
  for (const { run, from, to } of parts) {
    const range = `${from ?? ""}\n${to ?? ""}`;
    const asked = ranges.get(range) ?? { runs: [], keys: [wanted.key], points: wanted.points, x: wanted.x || undefined, from, to };
    asked.runs.push(run);
    ranges.set(range, asked);
  }
  return new Map([...ranges.values()].map((asked) => [JSON.stringify({ ...asked, keys: [] }), asked]));
}

/**
 * Cut a question into such as the service answers.
 * @param {SeriesAsked} asked
 * @returns {SeriesAsked[]}
 */
function split(asked) {
  const most = Math.max(1, Math.min(SERIES_MAX, Math.floor(CELLS_MAX / asked.points)));
  /** @type {SeriesAsked[]} */
  const parts = [];
  for (let run = 0; run < asked.runs.length; run += most) {
    const runs = asked.runs.slice(run, run + most);
    const keys = Math.max(1, Math.floor(most / runs.length));
    for (let key = 0; key < asked.keys.length; key += keys) {
      parts.push({ ...asked, runs, keys: asked.keys.slice(key, key + keys) });
    }
  }
  return parts;
}
