/** The texts of pages without charts: what does not exist, and what has logged nothing yet. */

/**
 * @typedef {object} Place What a page shows.
 * @property {string} entity
 * @property {string} [project]
 * @property {string} [run] its id
 * @property {boolean} [exists] whether the service knows the page's project or run
 * @property {string[]} [states] of the shown runs
 */

/** @typedef {{title: string, text: string, script: boolean}} EmptyState `script`: with the lines that log to it */

/**
 * Return the texts for a page without charts.
 * @param {Place} place
 * @returns {EmptyState}
 */
export function emptyState({ entity, project, run, exists = false, states = [] }) {
  if (!project) return { title: "Entity not found", text: `No project has the entity ${entity}.`, script: false };
  const path = `${entity}/${project}`;
  if (!exists && run) return { title: "Run not found", text: `${path} has no run with the id ${run}. If a script has just started it, it appears here automatically.`, script: false };
  if (!exists) return { title: "Project not found", text: `There is no project ${path}. It appears here automatically with its first run.`, script: true };
  if (!states.length) return { title: "No runs yet", text: `${path} has no runs. They appear here automatically.`, script: true };
  if (states.length > 1) return { title: "Nothing logged yet", text: "The shown runs have logged no values so far. They appear here automatically.", script: false };
  if (states[0] === "running") return { title: "Nothing logged yet", text: "The run has started, and has logged no values so far. They appear here automatically.", script: true };
  return { title: "Nothing logged", text: `The run is ${states[0]}, and has logged no values.`, script: true };
}
