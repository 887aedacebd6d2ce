/** The limits of requests, as the service reports them under `/api/v1/connect`. */

import { request } from "./service.js";

/**
 * @typedef {object} Limits
 * @property {number} series series (runs × keys) of one request
 * @property {number} values values of one answer: series × points
 * @property {number} samples rows of a history
 * @property {number} runs runs of one request, and of one page of the list
 * @property {number} first_runs runs of a page if the request names no limit
 * @property {number} columns columns of config and summary that one request may name
 */

/** @type {Promise<Limits> | null} */
let loading = null;
/** @type {Limits | null} */
let loaded = null;

/**
 * Load the limits once; a failed attempt is repeated by the next call.
 * @returns {Promise<Limits>}
 */
export function loadLimits() {
  loading ??= request("/connect").then(
    (connect) => (loaded = /** @type {Limits} */ (connect.limits)),
    (error) => {
      loading = null;
      throw error;
    },
  );
  return loading;
}

/**
 * Return the limits. The page loads them before it shows anything that depends on them.
 * @returns {Limits}
 */
export function limits() {
  if (!loaded) throw new Error("The limits of the service are not loaded.");
  return loaded;
}
