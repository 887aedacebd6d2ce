/** The page with the list of projects. */

import * as api from "../api/service.js";
import { fill, h } from "../ui/dom.js";
import { failed, nothingLogged } from "./empty_states.js";
import { ago, count } from "../ui/format.js";
import { href, showHeader } from "../ui/header.js";

/** Show the list of projects. @param {HTMLElement} top @param {HTMLElement} main @param {import("../api/connection.js").Connection} connection */
export async function showProjects(top, main, connection) {
  showHeader(top, []);
  const show = async () => {
    try {
      const { projects } = await api.projects();
      fill(main, projects.length ? [renderProjects(projects)] : [h("h1", { class: "unseen" }, "Projects"), nothingLogged("", "")]);
    } catch (error) {
      fill(main, failed(/** @type {Error} */ (error).message, show));
    }
  };
  connection.onReconnected(show);
  await show();
}

/** @param {{entity: string, project: string, runs: number, last_activity: string}[]} projects */
function renderProjects(projects) {
  const search = h("input", { type: "search", placeholder: "Search projects", "aria-label": "Search projects" });
  const body = h("tbody");
  const show = () => {
    const text = search.value.toLowerCase();
    const now = Date.now();
    fill(
      body,
      projects
        .filter(({ entity, project }) => `${entity}/${project}`.toLowerCase().includes(text))
        .map(({ entity, project, runs, last_activity }) =>
          h(
            "tr",
            {},
            h("th", { scope: "row" }, h("a", { href: href(entity, project) }, h("span", { class: "muted" }, `${entity} / `), project)),
            h("td", { class: "number" }, count(runs)),
            h("td", {}, ago(last_activity, now)),
          ),
        ),
    );
  };
  search.addEventListener("input", show);
  show();
  const heads = ["Project", "Runs", "Last activity"].map((name) => h("th", { scope: "col" }, name));
  return h("section", { class: "projects" }, h("h1", {}, "Projects"), search, h("table", { class: "plain" }, h("thead", {}, h("tr", {}, heads)), body));
}
