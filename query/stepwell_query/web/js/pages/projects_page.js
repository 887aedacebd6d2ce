/** The page with the list of projects: all, or those of an entity. */

import * as api from "../api/service.js";
import { fill, h } from "../ui/dom.js";
import { failed, nothingLogged, renderEmpty } from "./empty_states.js";
import { emptyState } from "./empty_texts.js";
import { ago, count } from "../ui/format.js";
import { href, showHeader } from "../ui/header.js";

/** @typedef {{entity: string, project: string, runs: number, last_activity: string}} Project */

/**
 * Show the list of projects.
 * @param {HTMLElement} top
 * @param {HTMLElement} main
 * @param {import("../api/connection.js").Connection} connection
 * @param {string} [entity] only its projects
 */
export async function showProjects(top, main, connection, entity = "") {
  showHeader(top, entity ? [{ name: entity, href: href(entity) }] : []);
  const show = async () => {
    try {
      const { projects } = await api.projects();
      const shown = entity ? projects.filter((project) => project.entity === entity) : projects;
      if (shown.length) fill(main, renderProjects(shown, entity));
      else if (entity) fill(main, renderEmpty(emptyState({ entity }), { href: "/", text: "All projects" }));
      else fill(main, h("h1", { class: "unseen" }, "Projects"), nothingLogged("", ""));
    } catch (error) {
      fill(main, failed(/** @type {Error} */ (error).message, show));
    }
  };
  connection.onReconnected(show);
  await show();
}

/** @param {Project[]} projects @param {string} entity */
function renderProjects(projects, entity) {
  const search = h("input", { type: "search", placeholder: "Search projects", "aria-label": "Search projects" });
  const body = h("tbody");
  const show = () => {
    const text = search.value.toLowerCase();
    const now = Date.now();
    const matching = projects.filter((project) => `${project.entity}/${project.project}`.toLowerCase().includes(text));
    fill(body, matching.map((project) => projectRow(project, entity, now)));
  };
  search.addEventListener("input", show);
  show();
  const heads = ["Project", "Runs", "Last activity"].map((name, at) => h("th", { scope: "col", class: at === 1 ? "number" : "" }, name));
  const title = entity ? `Projects of ${entity}` : "Projects";
  return h("section", { class: "projects" }, h("h1", {}, title), search, h("table", { class: "plain" }, h("thead", {}, h("tr", {}, heads)), body));
}

/** @param {Project} row @param {string} shownEntity @param {number} now */
function projectRow({ entity, project, runs, last_activity }, shownEntity, now) {
  const owner = shownEntity ? null : h("a", { class: "muted", href: href(entity) }, entity);
  const name = h("a", { href: href(entity, project) }, project);
  return h("tr", {}, h("th", { scope: "row" }, owner, owner ? h("span", { class: "muted" }, " / ") : null, name), h("td", { class: "number" }, count(runs)), h("td", {}, ago(last_activity, now)));
}
