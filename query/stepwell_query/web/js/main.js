/** Shows what the address names: all projects, a project, or a run. */

import { Connection } from "./connection.js";
import { href, showHeader } from "./header.js";
import { showProjects } from "./projects_page.js";
import { RunsModel } from "./runs_model.js";
import { Store } from "./state.js";
import { startTheme } from "./theme.js";
import { Workspace } from "./workspace.js";

const top = /** @type {HTMLElement} */ (document.getElementById("top"));
const main = /** @type {HTMLElement} */ (document.getElementById("main"));
const banner = /** @type {HTMLElement} */ (document.getElementById("banner"));

startTheme();
const connection = new Connection(banner);
const [entity, project] = location.pathname.split("/").filter(Boolean).map(decodeURIComponent);

if (!entity || !project) {
  void showProjects(top, main, connection);
} else {
  document.title = `${project} · Stepwell`;
  showHeader(top, [
    { name: entity, href: "/" },
    { name: project, href: href(entity, project) },
  ]);
  new Workspace(main, new RunsModel(entity, project), new Store(), connection, { list: true });
}
