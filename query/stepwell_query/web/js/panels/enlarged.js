/** A panel enlarged to the window. */

import { h, iconButton } from "../ui/dom.js";
import { makePanel } from "./panel_kinds.js";

/** @typedef {import("../pages/workspace.js").Workspace} Workspace */
/** @typedef {import("./panel.js").Panel} Panel */

export class Enlarged {
  /** @param {Workspace} space */
  constructor(space) {
    this.space = space;
    /** @type {HTMLDialogElement | null} */
    this.dialog = null;
    /** @type {Panel | null} */
    this.panel = null;
  }

  update() {
    const { full } = this.space.store.view;
    const spec = full ? this.find(full) : undefined;
    const isSame = !spec || JSON.stringify(this.panel?.spec.chart) === JSON.stringify(spec.chart);
    if (this.panel && this.panel.spec.id === full && isSame) {
      this.panel.update();
      return;
    }
    this.close();
    if (spec) this.open(spec);
  }

  /** @param {string} id */
  find(id) {
    const sections = this.space.buildSections(this.space.metrics, "first", "");
    return sections.flatMap((section) => section.panels).find((panel) => panel.id === id);
  }

  /** @param {import("./sections.js").PanelSpec} spec */
  open(spec) {
    const close = () => this.space.store.set({ full: "" }, { step: true });
    this.panel = makePanel({ ...spec, label: spec.key }, this.space, { large: true });
    this.panel.buttons.append(iconButton("close", "Back to all panels", close));
    const dialog = h("dialog", { class: "enlarged", "aria-label": spec.key }, this.panel.element);
    dialog.addEventListener("cancel", (event) => {
      event.preventDefault();
      close();
    });
    this.dialog = dialog;
    document.body.append(dialog);
    dialog.showModal();
  }

  close() {
    this.panel?.destroy();
    this.dialog?.close();
    this.dialog?.remove();
    this.panel = null;
    this.dialog = null;
  }
}
