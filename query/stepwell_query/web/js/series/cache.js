/**
 * Series for all panels on the screen: asked for together once a frame, kept, and asked for again only when their run
 * has moved on. What was scrolled away is not waited for: its request is given up when nobody else wants it.
 */

import { ApiError } from "../api/service.js";
import { readResponse } from "./response.js";
import { cacheKey, planRequests } from "./request_planner.js";

/** @typedef {import("../types.js").Points} Points */
/** @typedef {import("./request_planner.js").SeriesRequest} SeriesRequest */
/** @typedef {import("./request_planner.js").Part} Part */
/** @typedef {import("./request_planner.js").SeriesQuery} SeriesQuery */

/** @typedef {(found: Map<string, Points[]>, error: ApiError | null) => void} Tell what is there by part; may come often */
/** @typedef {{wanted: SeriesQuery, tell: Tell, open: Set<Request>, error: ApiError | null, told: boolean}} Want */
/** @typedef {{controller: AbortController, wants: Set<Want>}} Request */
/** @typedef {{points: Points[], offsets: Map<string, number>}} Kept `offsets`: to which each run is there */

const KEPT_MAX = 3_000;
const REFRESH_MS = 800;

/** How long a service rests between two refreshes, in the time that an answer takes it. */
const REST = 2;
const FRAME_MS = 8;

/**
 * Panels drawn in one frame when they come up, or one that is drawn anew: without a graphics card, handing a canvas to
 * the screen takes 10 ms, ten times as long as telling it what to draw.
 */
const FRAME_PANELS = 3;

export class SeriesCache {
  constructor() {
    /** @type {Map<string, Kept>} */
    this.kept = new Map();
    /** @type {Map<string, number>} the last offset of each run that is known to be stored */
    this.offsets = new Map();
    /** @type {Set<Want>} */
    this.wants = new Set();
    /** @type {Set<Want>} */
    this.due = new Set();
    /** @type {Set<Want>} whom there is something to tell */
    this.tells = new Set();
    this.framed = false;
    this.refreshing = 0;
    /** Milliseconds that the last answer took. */
    this.took = 0;
  }

  /**
   * Ask for series until it is cancelled; `tell` hears what is there, and each time that it has changed.
   * @param {SeriesQuery} wanted
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
      const kept = this.kept.get(cacheKey(wanted, part));
      return !kept || part.runs.some((run) => (kept.offsets.get(run) ?? -1) < (this.offsets.get(run) ?? -1));
    });
  }

  flush() {
    const due = [...this.due];
    this.due.clear();
    for (const want of due) {
      want.error = null;
      // What is kept from before shows at once, also what is behind by now.
      if (!want.told && want.wanted.parts.some((part) => this.kept.has(cacheKey(want.wanted, part)))) this.later(want);
    }
    const asks = due.map((want) => ({ want, parts: this.missing(want) }));
    for (const { asked, wants } of planRequests(asks)) void this.send(asked, wants);
  }

  /** @param {SeriesRequest} asked @param {Set<Want>} wants */
  async send(asked, wants) {
    /** @type {Request} */
    const request = { controller: new AbortController(), wants };
    for (const want of wants) want.open.add(request);
    const began = performance.now();
    try {
      for (const { place, points, offsets } of await readResponse(asked, request.controller.signal)) {
        for (const [run, offset] of offsets) if (offset > (this.offsets.get(run) ?? -1)) this.offsets.set(run, offset);
        this.keep(place, { points, offsets: this.reached(offsets) });
      }
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
   * A run that is gone is not asked for again: it is there as far as was known.
   * @param {Map<string, number>} offsets
   */
  reached(offsets) {
    return new Map([...offsets].map(([run, offset]) => [run, offset < 0 ? (this.offsets.get(run) ?? -1) : offset]));
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
    this.tells.add(want);
    this.frame();
  }

  deliver() {
    const began = performance.now();
    for (let left = FRAME_PANELS; left > 0 && performance.now() - began < FRAME_MS; ) {
      // Who sees nothing yet goes before who sees what is a second old.
      const want = [...this.tells].find(({ told }) => !told) ?? this.tells.values().next().value;
      if (!want) return;
      left -= want.told ? FRAME_PANELS : 1;
      this.tells.delete(want);
      if (this.wants.has(want)) this.tell(want);
    }
    if (this.tells.size) this.frame();
  }

  /** @param {Want} want */
  tell(want) {
    want.told = true;
    /** @type {Map<string, Points[]>} */
    const found = new Map();
    for (const part of want.wanted.parts) {
      const kept = this.kept.get(cacheKey(want.wanted, part));
      if (kept) found.set(part.of, kept.points);
    }
    want.tell(found, want.error);
  }
}
