/** The panel class for each kind of values. */

import { LinePanel } from "./line_panel.js";
import { MediaPanel } from "./media_panel.js";
import { TextPanel } from "./text_panel.js";

/** @typedef {import("./sections.js").PanelSpec} PanelSpec */
/** @typedef {import("../pages/workspace.js").Workspace} Workspace */
/** @typedef {import("./panel.js").Panel} Panel */

/**
 * Build the panel for a kind of values.
 * @param {PanelSpec} spec
 * @param {Workspace} space
 * @param {{large?: boolean}} [options]
 * @returns {Panel}
 */
export function makePanel(spec, space, options) {
  if (spec.kind === "line") return new LinePanel(spec, space, options);
  if (spec.kind === "string" || spec.kind === "other") return new TextPanel(spec, space, options);
  return new MediaPanel(spec, space, options);
}
