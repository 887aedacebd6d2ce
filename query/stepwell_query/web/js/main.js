/** The entry point: shows all projects, those of an entity, a project or a run, as the address says. */

import { Connection } from "./api/connection.js";
import { loadServiceInfo } from "./api/service_info.js";
import { h } from "./ui/dom.js";
import { href, showHeader } from "./ui/header.js";
import { onKey, startKeyboard } from "./ui/keyboard.js";
import { showAccount } from "./pages/account.js";
import { showProjects } from "./pages/projects_page.js";
import { RunPage } from "./pages/run_page.js";
import { RunsModel } from "./runs/runs_model.js";
import { SingleRun } from "./runs/single_run.js";
import { rememberArrangement } from "./state/arrangement.js";
import { Store } from "./state/view_state.js";
import { startTheme, toggleTheme } from "./ui/theme.js";
import { Workspace } from "./pages/workspace.js";

const OPEN = "This service requires no key: whoever reaches it may read and change everything.";
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
  const store = new Store();
  rememberArrangement(store, entity, project);
  if (run) new RunPage(main, new SingleRun(entity, project, run), store, connection);
  else new Workspace(main, new RunsModel(entity, project), store, connection, { list: true });
}
loadServiceInfo().then(
  ({ open }) => (open ? top.append(h("span", { class: "top-link", title: OPEN }, "Open")) : showAccount(top)),
  () => undefined, // Whoever needs the description reports that it is missing.
);
