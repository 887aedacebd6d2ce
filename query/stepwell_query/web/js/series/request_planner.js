/** How what panels want of the service becomes as few planRequests as it answers. Pure. */

/**
 * @typedef {object} Part One run, or one group of runs, of what a panel wants.
 * @property {string} of what it is found by: a run's path, or a group's place
 * @property {string[]} runs paths
 * @property {string} [group] the group's name: then the service sums its runs up
 * @property {number} [from] first step
 * @property {number} [to] last step
 */

/**
 * @typedef {object} SeriesQuery
 * @property {string} key
 * @property {string} x "" for the metric's own axis
 * @property {number} points
 * @property {number} [smoothing] weight of the moving average, of a thousandth of the series
 * @property {Part[]} parts
 */

/**
 * @typedef {object} SeriesRequest One question: `runs`, or `groups` of them by name.
 * @property {string[]} [runs]
 * @property {Record<string, string[]>} [groups]
 * @property {string[]} keys
 * @property {number} points
 * @property {number} [from]
 * @property {number} [to]
 * @property {string} [x] none: each metric's own axis
 * @property {number} [smoothing]
 * @property {number} [smoothing_parts]
 * @property {boolean} [filled]
 */

const SERIES_MAX = 500;
const CELLS_MAX = 1_000_000;

/** What a weight is of: a whole view has so many points. */
export const SMOOTHING_PARTS = 1_000;

/**
 * Return where a part's points are kept.
 * @param {SeriesQuery} wanted
 * @param {Part} part
 */
export function cacheKey(wanted, part) {
  const who = part.group === undefined ? part.of : [part.of, ...part.runs].join();
  return [who, wanted.key.toLowerCase(), wanted.x, wanted.points, wanted.smoothing ?? "", part.from ?? "", part.to ?? ""].join("\n");
}

/**
 * Return what a group's points are found by: a path has no blank, so that no run is found by it.
 * @param {string} name
 */
export function groupSeriesId(name) {
  return `group ${name}`;
}

/**
 * Return the planRequests that parts of what panels want are answered by, each with the wants that it serves. What is
 * wanted over the same range of steps, of the same runs, is asked for together.
 * @template {{wanted: SeriesQuery}} W
 * @param {{want: W, parts: Part[]}[]} due
 * @returns {{asked: SeriesRequest, wants: Set<W>}[]}
 */
export function planRequests(due) {
  /** @type {Map<string, {asked: SeriesRequest, wants: Set<W>}>} */
  const together = new Map();
  for (const { want, parts } of due) {
    for (const asked of byRange(want.wanted, parts)) {
      const same = JSON.stringify({ ...asked, keys: [] });
      const found = together.get(same) ?? { asked: { ...asked, keys: [] }, wants: new Set() };
      found.asked.keys = [...new Set([...found.asked.keys, ...asked.keys])];
      found.wants.add(want);
      together.set(same, found);
    }
  }
  return [...together.values()].flatMap(({ asked, wants }) =>
    splitRequest(asked).map((part) => {
      const keys = new Set(part.keys);
      return { asked: part, wants: new Set([...wants].filter((want) => keys.has(want.wanted.key))) };
    }),
  );
}

/** @param {SeriesQuery} wanted @param {Part[]} parts @returns {SeriesRequest[]} */
function byRange(wanted, parts) {
  /** @type {Map<string, SeriesRequest>} */
  const ranges = new Map();
  for (const { of, runs, group, from, to } of parts) {
    const range = `${group === undefined} ${from ?? ""} ${to ?? ""}`;
    let asked = ranges.get(range);
    if (!asked) {
      const { key, points, smoothing } = wanted;
      asked = { keys: [key], points, from, to };
      if (group !== undefined) asked = { groups: {}, ...asked, filled: true };
      else asked = { runs: [], ...asked, x: wanted.x || undefined, ...(smoothing ? { smoothing, smoothing_parts: SMOOTHING_PARTS } : {}) };
      ranges.set(range, asked);
    }
    if (asked.groups && group !== undefined) asked.groups[group] = runs;
    else asked.runs?.push(of);
  }
  return [...ranges.values()];
}

/**
 * Cut a question into such as the service answers.
 * @param {SeriesRequest} asked
 * @returns {SeriesRequest[]}
 */
export function splitRequest(asked) {
  const most = Math.max(1, Math.min(SERIES_MAX, Math.floor(CELLS_MAX / asked.points)));
  return byRuns(asked, most).flatMap((part) => {
    const runs = part.runs?.length ?? Object.values(part.groups ?? {}).flat().length;
    const keys = Math.max(1, Math.floor(most / Math.max(1, runs)));
    return Array.from({ length: Math.ceil(part.keys.length / keys) }, (_, at) => ({ ...part, keys: part.keys.slice(at * keys, (at + 1) * keys) }));
  });
}

/** @param {SeriesRequest} asked @param {number} most @returns {SeriesRequest[]} */
function byRuns(asked, most) {
  const { runs, groups } = asked;
  if (runs) return Array.from({ length: Math.ceil(runs.length / most) }, (_, at) => ({ ...asked, runs: runs.slice(at * most, (at + 1) * most) }));
  /** @type {Record<string, string[]>[]} */
  const parts = [{}];
  let held = 0;
  for (const [name, members] of Object.entries(groups ?? {})) {
    if (held && held + members.length > most) {
      parts.push({});
      held = 0;
    }
    parts[parts.length - 1][name] = members;
    held += members.length;
  }
  return parts.map((part) => ({ ...asked, groups: part }));
}
