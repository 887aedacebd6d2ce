/**
 * A cache of the series that panels show. Panels subscribe to queries. The cache requests missing series, at most once
 * per frame and for all panels together, and requests a series again only after its run has new data. When a panel is
 * scrolled out of view, its request is cancelled unless another panel needs it.
 */

import { limits } from "../api/service_info.js";
import { ApiError } from "../api/service.js";
import { cacheKey, planRequests } from "./request_planner.js";
import { readResponse } from "./response.js";

/** @typedef {import("../types.js").Points} Points */
/** @typedef {import("./request_planner.js").SeriesRequest} SeriesRequest */
/** @typedef {import("./request_planner.js").Part} Part */
/** @typedef {import("./request_planner.js").SeriesQuery} SeriesQuery */

/** @typedef {(series: Map<string, Points[]>, error: ApiError | null) => void} Notify receives the cached points by part */
/** @typedef {{query: SeriesQuery, notify: Notify, pending: Set<PendingRequest>, error: ApiError | null, notified: boolean}} Subscription */
/** @typedef {{controller: AbortController, subscriptions: Set<Subscription>}} PendingRequest */
/** @typedef {{points: Points[], offsets: Map<string, number>}} CacheEntry `offsets`: how far each run was stored */

const POINTS_MAX = 3_000_000;
const REFRESH_MS = 800;

/** Pause between two refreshes, in multiples of the duration of the last request. */
const REST = 2;
const FRAME_MS = 8;

/**
 * Panels drawn per frame when they appear; a panel that is drawn again takes a frame alone. Without a graphics card,
 * presenting a canvas takes 10 ms, ten times as long as the drawing commands.
 */
const FRAME_PANELS = 3;

export class SeriesCache {
  constructor() {
    /** @type {Map<string, CacheEntry>} */
    this.entries = new Map();
    this.cachedPoints = 0;
    /** @type {Map<string, number>} the last known stored offset of each run */
    this.offsets = new Map();
    /** @type {Set<Subscription>} */
    this.subscriptions = new Set();
    /** @type {Set<Subscription>} whose series are requested in the next frame */
    this.due = new Set();
    /** @type {Set<Subscription>} that are notified in one of the next frames */
    this.notifications = new Set();
    this.frameScheduled = false;
    /** @type {Map<string, Set<string>>} runs that have not logged an x axis, by the axis */
    this.lacking = new Map();
    /** @type {Map<string, number>} number of runs that have logged each number */
    this.runsByKey = new Map();
    this.refreshTimer = 0;
    /** Duration of the last request in milliseconds. */
    this.requestMs = 0;
  }

  /**
   * Subscribe to series. `notify` is called with what is cached, and again after each change.
   * @param {SeriesQuery} query
   * @param {Notify} notify
   * @returns {() => void} ends the subscription
   */
  subscribe(query, notify) {
    /** @type {Subscription} */
    const subscription = { query, notify, pending: new Set(), error: null, notified: false };
    this.subscriptions.add(subscription);
    this.request(subscription);
    return () => {
      this.subscriptions.delete(subscription);
      this.due.delete(subscription);
      for (const pending of subscription.pending) {
        pending.subscriptions.delete(subscription);
        if (!pending.subscriptions.size) pending.controller.abort();
      }
    };
  }

  /**
   * Note that runs have new data. Subscribed series of these runs are requested again, together and at a limited rate.
   * @param {Iterable<[string, number]>} offsets by run
   */
  runsChanged(offsets) {
    for (const [run, offset] of offsets) this.offsets.set(run, offset);
    if (this.refreshTimer) return;
    this.refreshTimer = window.setTimeout(() => {
      this.refreshTimer = 0;
      for (const subscription of this.subscriptions) {
        if (this.missingParts(subscription).length && !subscription.pending.size) this.request(subscription);
      }
    }, Math.max(REFRESH_MS, this.requestMs * REST));
  }

  /**
   * Return whether a run is known not to have logged an x axis: the service refuses its series over that axis.
   * @param {string} run
   * @param {string} x
   */
  lacksAxis(run, x) {
    return !!this.lacking.get(x)?.has(run);
  }

  /**
   * Note how many of the shown runs have logged each number. When it changes for an x axis, a run may have begun to log it.
   * @param {Map<string, number>} runsByKey by the folded key too: an address may spell the axis differently
   */
  metricsChanged(runsByKey) {
    const countRuns = (/** @type {Map<string, number>} */ runs, /** @type {string} */ x) => runs.get(x) ?? runs.get(x.toLowerCase());
    const changed = [...this.lacking.keys()].filter((x) => countRuns(runsByKey, x) !== countRuns(this.runsByKey, x));
    this.runsByKey = runsByKey;
    for (const x of changed) this.lacking.delete(x);
    if (!changed.length) return;
    for (const subscription of this.subscriptions) if (changed.includes(subscription.query.x) && this.missingParts(subscription).length) this.request(subscription);
  }

  /** Request again what has failed. */
  retry() {
    for (const subscription of this.subscriptions) if (subscription.error) this.request(subscription);
  }

  /** @param {Subscription} subscription */
  request(subscription) {
    this.due.add(subscription);
    this.scheduleFrame();
  }

  scheduleFrame() {
    if (this.frameScheduled) return;
    this.frameScheduled = true;
    requestAnimationFrame(() => {
      this.frameScheduled = false;
      this.sendRequests();
      void this.notifySome();
    });
  }

  /**
   * Return what is known of a part: its cached points, or none if its runs lack the x axis; undefined: nothing.
   * @param {SeriesQuery} query
   * @param {Part} part
   */
  cachedPart(query, part) {
    return part.runs.every((run) => this.lacksAxis(run, query.x)) ? [] : this.entries.get(cacheKey(query, part))?.points;
  }

  /** @param {Subscription} subscription @returns {Part[]} the parts that are not cached, or whose runs have new data */
  missingParts({ query }) {
    return query.parts.filter((part) => {
      if (part.runs.every((run) => this.lacksAxis(run, query.x))) return false;
      const entry = this.entries.get(cacheKey(query, part));
      return !entry || part.runs.some((run) => (entry.offsets.get(run) ?? -1) < (this.offsets.get(run) ?? -1));
    });
  }

  sendRequests() {
    const due = [...this.due];
    this.due.clear();
    for (const subscription of due) {
      const { query } = subscription;
      subscription.error = null;
      // Cached points are shown immediately, also outdated ones.
      if (!subscription.notified && query.parts.some((part) => this.cachedPart(query, part))) this.scheduleNotification(subscription);
    }
    if (!due.length) return;
    const missing = due.map((subscription) => ({ subscription, parts: this.missingParts(subscription) }));
    for (const { request, subscriptions } of planRequests(missing, limits())) void this.send(request, subscriptions);
  }

  /** @param {SeriesRequest} request @param {Set<Subscription>} subscriptions */
  async send(request, subscriptions) {
    /** @type {PendingRequest} */
    const pending = { controller: new AbortController(), subscriptions };
    for (const subscription of subscriptions) subscription.pending.add(pending);
    const began = performance.now();
    try {
      for (const part of await readResponse(request, pending.controller.signal)) {
        for (const [run, offset] of part.offsets) if (offset > (this.offsets.get(run) ?? -1)) this.offsets.set(run, offset);
        if (part.lacking && request.x) this.lacking.set(request.x, (this.lacking.get(request.x) ?? new Set()).add(part.lacking));
        this.store(part.cacheKey, { points: part.points, offsets: this.reachedOffsets(part.offsets) });
      }
      this.requestMs = performance.now() - began;
    } catch (error) {
      if (pending.controller.signal.aborted) return;
      for (const subscription of subscriptions) subscription.error = error instanceof ApiError ? error : new ApiError(0, String(error));
    }
    for (const subscription of pending.subscriptions) {
      subscription.pending.delete(pending);
      this.scheduleNotification(subscription);
      // Runs may have got new data while the request was in flight.
      if (!subscription.error && !subscription.pending.size && this.missingParts(subscription).length) this.runsChanged([]);
    }
  }

  /**
   * Return the offsets to store with a response. A deleted run (-1) counts as read up to its last known offset, so
   * that it is not requested again.
   * @param {Map<string, number>} offsets
   */
  reachedOffsets(offsets) {
    return new Map([...offsets].map(([run, offset]) => [run, offset < 0 ? (this.offsets.get(run) ?? -1) : offset]));
  }

  /** @param {string} key @param {CacheEntry} entry */
  store(key, entry) {
    this.remove(key);
    this.entries.set(key, entry);
    this.cachedPoints += sizeOf(entry);
    while (this.cachedPoints > POINTS_MAX && this.entries.size > 1) this.remove(/** @type {string} */ (this.entries.keys().next().value));
  }

  /** @param {string} key */
  remove(key) {
    const entry = this.entries.get(key);
    if (entry) this.cachedPoints -= sizeOf(entry);
    this.entries.delete(key);
  }

  /**
   * Notify a subscription in one of the next frames: each frame takes as many as fit into it.
   * @param {Subscription} subscription
   */
  scheduleNotification(subscription) {
    this.notifications.add(subscription);
    this.scheduleFrame();
  }

  async notifySome() {
    const began = performance.now();
    for (let left = FRAME_PANELS; left > 0 && performance.now() - began < FRAME_MS; ) {
      // Empty panels go before panels that show outdated points.
      const subscription = [...this.notifications].find(({ notified }) => !notified) ?? this.notifications.values().next().value;
      if (!subscription) break;
      left -= subscription.notified ? FRAME_PANELS : 1;
      this.notifications.delete(subscription);
      if (this.subscriptions.has(subscription)) this.notify(subscription);
      // uPlot draws in a microtask: only after it is the time of a notification known.
      await null;
    }
    if (this.notifications.size) this.scheduleFrame();
  }

  /** @param {Subscription} subscription */
  notify(subscription) {
    const { query } = subscription;
    subscription.notified = true;
    /** @type {Map<string, Points[]>} */
    const series = new Map();
    for (const part of query.parts) {
      const points = this.cachedPart(query, part);
      if (points) series.set(part.id, points);
    }
    subscription.notify(series, subscription.error);
  }
}

/** Return the size of a cached part in points; one without points takes room too. @param {CacheEntry} entry */
function sizeOf({ points }) {
  return points.reduce((sum, { x }) => sum + x.length, 1);
}
