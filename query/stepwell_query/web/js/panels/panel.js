/** The base of panels: title, buttons, and a status while there is nothing to show. */

import { fill, h, iconButton } from "../ui/dom.js";

/** @typedef {import("./sections.js").PanelSpec} PanelSpec */
/** @typedef {import("../pages/workspace.js").Workspace} Workspace */

export class Panel {
  /**
   * @param {PanelSpec} spec
   * @param {Workspace} space
   * @param {{large?: boolean}} [options]
   */
  constructor(spec, space, { large = false } = {}) {
    this.spec = spec;
    this.space = space;
    this.large = large;
    this.gone = false;
    this.buttons = h("span", { class: "panel-buttons" });
    this.title = h("h3", { class: "panel-title", title: spec.key }, spec.label);
    this.note = h("span", { class: "panel-note" });
    this.body = h("div", { class: "panel-body" });
    this.status = h("div", { class: "panel-status", hidden: true });
    this.element = h(
      "article",
      { class: `panel panel-${spec.kind}${large ? " large" : ""}`, "aria-label": spec.key, "data-key": spec.key, "data-kind": spec.kind },
      h("header", { class: "panel-head" }, this.title, this.note, this.buttons),
      this.body,
      this.status,
    );
    if (!large) {
      this.buttons.append(iconButton("expand", `Enlarge ${spec.key}`, () => space.store.set({ full: spec.id }, { step: true })));
    }
  }

  /** Show the current view; called after each change of the view or the runs. */
  update() {}

  /**
   * Handle new data of runs.
   * @param {Set<string>} _ their paths
   */
  runsChanged(_) {}

  destroy() {
    this.gone = true;
  }

  /** @param {string} text @param {(() => void) | null} [retry] */
  showStatus(text, retry = null) {
    this.showNotice(text, "Try again", retry);
    this.status.classList.toggle("failed", !!retry);
  }

  /**
   * Show why there is nothing to see, with a button that changes it.
   * @param {string} text
   * @param {string} label of the button
   * @param {(() => void) | null} onclick null: no button
   */
  showNotice(text, label, onclick) {
    fill(this.status, h("p", {}, text), onclick ? h("button", { type: "button", onclick }, label) : null);
    this.status.hidden = false;
    this.status.classList.remove("failed");
  }

  hideStatus() {
    this.status.hidden = true;
    this.status.classList.remove("failed");
  }
}
