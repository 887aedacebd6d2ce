/** The limits of requests and the fields of runs, as the service reports them under `/api/v1/connect`. */

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

/**
 * @typedef {object} RunField a field of a run besides config and summary
 * @property {string} name its name in filters, orders and groups
 * @property {string} member its name in a run's JSON
 * @property {string} label
 * @property {"text" | "number" | "bool" | "time" | "list"} type
 * @property {string[]} synonyms further names
 * @property {boolean} sortable
 * @property {boolean} groupable
 */

/** @typedef {{limits: Limits, run_fields: RunField[], open: boolean}} ServiceInfo */

/** @type {Promise<ServiceInfo> | null} */
let loading = null;
/** @type {ServiceInfo | null} */
let loaded = null;

/**
 * Load the service's description once; a failed attempt is repeated by the next call.
 * @returns {Promise<ServiceInfo>}
 */
export function loadServiceInfo() {
  loading ??= request("/connect").then(
    (connect) => (loaded = /** @type {ServiceInfo} */ (connect)),
    (error) => {
      loading = null;
      throw error;
    },
  );
  return loading;
}

/** Return whether the description has been loaded. */
export function serviceInfoIsLoaded() {
  return loaded !== null;
}

/** Return the limits. The page loads them before it shows anything that depends on them. */
export function limits() {
  return info().limits;
}

/** Return the fields of runs, in the service's order. */
export function runFields() {
  return info().run_fields;
}

function info() {
  if (!loaded) throw new Error("The description of the service is not loaded.");
  return loaded;
}
