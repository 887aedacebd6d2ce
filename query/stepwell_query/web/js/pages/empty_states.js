/** Empty states of the page: what does not exist, what has logged nothing yet, and the lines to run first. */

import { h } from "../ui/dom.js";
import { findPatternFlaw } from "../ui/text_match.js";
import { href } from "../ui/header.js";
import { emptyState } from "./empty_texts.js";

/** @typedef {import("./empty_texts.js").EmptyState} EmptyState */
/** @typedef {import("./empty_texts.js").Place} Place */

/**
 * Build an empty state.
 * @param {EmptyState} state
 * @param {{href: string, text: string} | null} link to what exists
 * @param {...(Node | null)} more
 */
export function renderEmpty({ title, text }, link, ...more) {
  return h(
    "section",
    { class: "empty", "aria-labelledby": "empty-title" },
    h("h2", { id: "empty-title" }, title),
    h("p", {}, text),
    link ? h("p", {}, h("a", { href: link.href }, link.text)) : null,
    ...more,
  );
}

/**
 * Build the empty state of a project's page or a run's page.
 * @param {Place & {project: string}} place
 * @param {string | null} id of the only shown run, to which a script could log
 */
export function emptyPage(place, id) {
  const { entity, project, run, exists } = place;
  const state = emptyState(place);
  const link = exists ? null : run ? { href: href(entity, project), text: `Runs of ${entity}/${project}` } : { href: href(entity), text: `Projects of ${entity}` };
  const more = state.script ? h("details", { class: "how" }, h("summary", {}, "How to log to it"), ...instructions(entity, project, id)) : null;
  return renderEmpty(state, link, more);
}

/** Build the first page of a service without projects. @param {string} entity "" if unknown @param {string} project */
export function nothingLogged(entity, project) {
  const state = { title: "Nothing logged yet", text: "The first project will appear here automatically.", script: true };
  return renderEmpty(state, null, ...instructions(entity, project, null));
}

/** Build the note of a page on which no run is shown. */
export function noRuns() {
  return note("No runs are shown", "Select runs in the list, or change its search.");
}

/** Build the note of a search that no metric matches. @param {string} search */
export function noMatch(search) {
  const flaw = findPatternFlaw(search);
  return note(flaw ? "The search is not a valid expression" : "No metric matches", `No metric of the shown runs ${flaw ? "contains" : "matches"} ${search}`);
}

/** Build the note of a run that has logged no system metrics. */
export function noSystemMetrics() {
  return note("No system metrics", "They are recorded every 15 seconds; STEPWELL_SYSTEM_SECONDS sets another interval.");
}

/** @param {string} title @param {string} text */
function note(title, text) {
  return h("section", { class: "empty" }, h("h2", {}, title), h("p", {}, text));
}

/** @param {string} entity @param {string} project @param {string | null} run the id of a run that exists */
function instructions(entity, project, run) {
  const names = [`entity=${quoted(entity || "me")}`, `project=${quoted(project || "tour")}`];
  const again = run ? [`id=${quoted(run)}`, `resume="allow"`] : [];
  const script = [
    "import stepwell",
    "",
    `with stepwell.init(${[...names, ...again].join(", ")}) as run:`,
    "    for step in range(1000):",
    '        run.log({"train/loss": 1 / (step + 1)})',
  ].join("\n");
  return [
    run ? null : h("p", {}, "Run once, in the terminal where you train:"),
    run ? null : code(`pip install stepwell\nexport STEPWELL_BASE_URL=${location.origin}`),
    run ? h("p", {}, "A script logs values like this:") : h("p", {}, "Then run a script like this, or a ", h("code", {}, "wandb"), " script that imports ", h("code", {}, "stepwell as wandb"), ":"),
    code(script),
  ];
}

/** @param {string} text */
function quoted(text) {
  return JSON.stringify(text);
}

/** @param {string} text */
function code(text) {
  const button = h("button", { type: "button", class: "copy" }, "Copy");
  button.addEventListener("click", async () => {
    await navigator.clipboard?.writeText(text);
    button.textContent = "Copied";
  });
  return h("div", { class: "code" }, h("pre", { tabindex: "0" }, text), navigator.clipboard ? button : null);
}

/** @param {string} text @param {() => void} retry */
export function failed(text, retry) {
  return h("section", { class: "empty failed", role: "alert" }, h("p", {}, text), h("button", { type: "button", onclick: retry }, "Try again"));
}
