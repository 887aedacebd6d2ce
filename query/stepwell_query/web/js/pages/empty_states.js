/** Empty states of the page: the lines to run next, before anything is logged. */

import { h } from "../ui/dom.js";

/**
 * @param {string} entity "" if unknown
 * @param {string} project
 * @param {string | null} run the id of a run that has logged nothing yet
 */
export function nothingLogged(entity, project, run = null) {
  const names = [`entity=${quoted(entity || "me")}`, `project=${quoted(project || "tour")}`];
  const again = run ? [`id=${quoted(run)}`, `resume="allow"`] : [];
  const script = [
    "import stepwell",
    "",
    `with stepwell.init(${[...names, ...again].join(", ")}) as run:`,
    "    for step in range(1000):",
    '        run.log({"train/loss": 1 / (step + 1)})',
  ].join("\n");
  return h(
    "section",
    { class: "empty", "aria-labelledby": "empty-title" },
    h("h2", { id: "empty-title" }, "No visualization data logged yet"),
    h("p", {}, run ? "This run has started. Its first values will appear here automatically. A script logs values like this:" : "The first values will appear here automatically. Run once, in the terminal where you train:"),
    run ? null : code(`pip install stepwell\nexport STEPWELL_BASE_URL=${location.origin}`),
    run ? null : h("p", {}, "Then run a script like this, or a ", h("code", {}, "wandb"), " script that imports ", h("code", {}, "stepwell as wandb"), ":"),
    code(script),
  );
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
