/** The values of a chart's lines at one position: what the tooltip shows, and what is copied from it. */

import { nearest } from "./align.js";
import { differingParts } from "./names.js";
import { count, difference, duration, exact, readable } from "../ui/format.js";

/** @typedef {import("../types.js").Line} Line */
/** @typedef {import("../ui/format.js").Unit} Unit */
/** @typedef {{line: Line, at: number, distance: number}} Hit a point of a line, with its distance from the cursor in pixels */
/** @typedef {{name: string, title: string, color: string, value: string, notes: string[]}} ReadoutRow */

/**
 * @typedef {object} Readout
 * @property {string} title the position, and what is the same for all lines
 * @property {ReadoutRow[]} rows the nearest first
 * @property {() => string} toText returns all digits, as tab-separated values
 */

/**
 * Return the index of a line's point at a position of the x axis: the nearest one within its range, which a mean gap
 * extends; -1 beyond it.
 * @param {number[]} x ascending
 * @param {number} at
 */
export function pointAt(x, at) {
  const index = nearest(x, at);
  if (index < 0) return -1;
  const gap = x.length > 1 ? (x[x.length - 1] - x[0]) / (x.length - 1) : Infinity;
  return at < x[0] - gap || at > x[x.length - 1] + gap ? -1 : index;
}

/**
 * Return the points of lines at a position, the nearest to the cursor first.
 * @param {Line[]} lines
 * @param {number} at position on the x axis
 * @param {(value: number, line: Line) => number} distance of a line's value from the cursor in pixels
 * @returns {Hit[]}
 */
export function findHits(lines, at, distance) {
  const hits = lines.map((line) => ({ line, at: pointAt(line.x, at) })).filter((hit) => hit.at >= 0);
  return hits
    .map((hit) => ({ ...hit, distance: Number.isFinite(hit.line.y[hit.at]) ? distance(hit.line.y[hit.at], hit.line) : Infinity }))
    .sort((a, b) => (a.distance === b.distance ? 0 : a.distance - b.distance));
}

/**
 * Build what the tooltip shows.
 * @param {Hit[]} hits the nearest first
 * @param {{axis: string, at: number, unit: Unit, most: number, base?: string}} options `most`: number of rows; `base`: owner of
 *   the line from which differences are shown
 * @returns {Readout}
 */
export function buildReadout(hits, { axis, at, unit, most, base = "" }) {
  const shown = hits.slice(0, most);
  const names = differingParts(shown.map(({ line }) => line.name));
  const notes = shown.map((hit) => [...baseNotes(hit, hits, base), ...hitNotes(hit, hit.line.unit ?? unit)]);
  // What all lines have in common is said once.
  const common = notes.length > 1 ? notes[0].filter((note) => notes.every((others) => others.includes(note))) : [];
  const nearestX = hits.map(({ line, at: index }) => line.x[index]).reduce((best, x) => (Math.abs(x - at) < Math.abs(best - at) ? x : best));
  return {
    title: [position(axis, nearestX), ...common].join(" · "),
    rows: shown.map(({ line, at: index }, number) => ({
      name: names[number],
      title: line.name,
      color: line.color,
      value: readable(line.y[index], line.unit ?? unit),
      notes: notes[number].filter((note) => !common.includes(note)),
    })),
    toText: () => copyText(hits, axis),
  };
}

/** @param {string} axis @param {number} x */
function position(axis, x) {
  if (axis === "_timestamp") return new Date(x * 1000).toLocaleString();
  if (axis === "_runtime") return `${duration(x)} after the start`;
  return `${axis === "_step" ? "step" : axis} ${readable(x)}`;
}

/**
 * Return the difference from the baseline's value of the same metric; none for the baseline itself.
 * @param {Hit} hit
 * @param {Hit[]} hits
 * @param {string} base
 * @returns {string[]}
 */
function baseNotes({ line, at }, hits, base) {
  if (!base || line.owner === base) return [];
  const other = hits.find((hit) => hit.line.owner === base && hit.line.metric === line.metric && hit.line.dash === line.dash);
  const text = other ? difference(line.y[at], other.line.y[other.at]) : "";
  return text ? [text] : [];
}

/** @param {Hit} hit @param {Unit} unit @returns {string[]} */
function hitNotes({ line, at }, unit) {
  const { low, high, counts } = line;
  const notes = [];
  if (line.raw) notes.push(`not smoothed ${readable(line.raw[at], unit)}`);
  if (line.band === "ranks" && low && high) {
    notes.push(`${readable(low[at], unit)} ${line.owners?.low[at]} … ${readable(high[at], unit)} ${line.owners?.high[at]}`, `${count(counts[at])} ranks`);
  } else if (line.band === "± std" && low && high) {
    if (!Number.isNaN(high[at] - low[at])) notes.push(`± ${readable((high[at] - low[at]) / 2, unit)}`);
    notes.push(counts[at] === 1 ? "1 run" : `${count(counts[at])} runs`);
  } else if (counts[at] > 1) {
    if (low && high) notes.push(`${readable(low[at], unit)} … ${readable(high[at], unit)}`);
    notes.push(`mean of ${count(counts[at])}`);
  }
  if (line.rawFrom && line.step[at] < line.rawFrom) notes.push("rows removed");
  if (line.nans[at]) notes.push(line.nans[at] > 1 ? `${count(line.nans[at])} × NaN` : "NaN");
  return notes;
}

/** @param {Hit[]} hits @param {string} axis */
function copyText(hits, axis) {
  const rows = hits.map(({ line, at }) => {
    const value = line.raw ? line.raw[at] : line.y[at];
    return [line.name, exact(line.x[at]), exact(value), line.raw ? exact(line.y[at]) : "", line.low ? exact(line.low[at]) : "", line.high ? exact(line.high[at]) : "", String(line.counts[at])];
  });
  return [["name", axis.replace(/^_/, ""), "value", "smoothed", "low", "high", "count"], ...rows].map((row) => row.join("\t")).join("\n");
}
