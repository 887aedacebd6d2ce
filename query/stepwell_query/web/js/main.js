/** The entry point: shows all projects, those of an entity, a project or a run, as the address says. */

import { Connection } from "./api/connection.js";
import { href, showHeader } from "./ui/header.js";
import { onKey, startKeyboard } from "./ui/keyboard.js";
import { showProjects } from "./pages/projects_page.js";
import { RunPage } from "./pages/run_page.js";
import { RunsModel, SingleRun } from "./runs/runs_model.js";
import { Store } from "./state/view_state.js";
import { startTheme, toggleTheme } from "./ui/theme.js";
import { Workspace } from "./pages/workspace.js";

const top = /** @type {HTMLElement} */ (document.getElementById("top"));
const main = /** @type {HTMLElement} */ (document.getElementById("main"));
const banner = /** @type {HTMLElement} */ (document.getElementById("banner"));

startTheme();
startKeyboard();
onKey("d", "Dark or light", toggleTheme);
const connection = new Connection(banner);
const [entity, project, run] = location.pathname.split("/").filter(Boolean).map(decodeURIComponent);

if (!entity || !project) {
  if (entity) document.title = `${entity} · Stepwell`;
  void showProjects(top, main, connection, entity);
} else {
  document.title = `${run ?? project} · Stepwell`;
  showHeader(top, [
    { name: entity, href: href(entity) },
    { name: project, href: href(entity, project) },
    ...(run ? [{ name: run, href: href(entity, project, run) }] : []),
  ]);
  if (run) new RunPage(main, new SingleRun(entity, project, run), new Store(), connection);
  else new Workspace(main, new RunsModel(entity, project), new Store(), connection, { list: true });
}
