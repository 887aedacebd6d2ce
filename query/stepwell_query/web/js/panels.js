/** Which panel shows which kind of values. */

import { LinePanel } from "./line_panel.js";
import { Panel } from "./panel.js";

/** @typedef {import("./sections.js").PanelSpec} PanelSpec */
/** @typedef {import("./workspace.js").Workspace} Workspace */

/**
 * @param {PanelSpec} spec
 * @param {Workspace} space
 * @param {{large?: boolean}} [options]
 * @returns {Panel}
 */
export function makePanel(spec, space, options) {
  return new LinePanel(spec, space, options);
}
