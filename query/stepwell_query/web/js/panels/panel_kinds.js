/** The panel class for each kind of values. Those of media and texts are loaded once a run has some. */

import { LinePanel } from "./line_panel.js";
import { MultiPanel } from "./multi_panel.js";

/** @typedef {import("./sections.js").PanelSpec} PanelSpec */
/** @typedef {import("../pages/workspace.js").Workspace} Workspace */
/** @typedef {import("./panel.js").Panel} Panel */
/** @typedef {(spec: PanelSpec, space: Workspace, options?: {large?: boolean}) => Panel} MakePanel */

const DRAWN = new Set(["number", "bool"]);

/** @type {MakePanel | null} */
let makeRowsPanel = null;

/**
 * Load the panels of the metrics' kinds.
 * @param {import("../types.js").Metric[]} metrics
 */
export async function loadPanels(metrics) {
  if (makeRowsPanel || metrics.every(({ kind, stream }) => DRAWN.has(kind) || stream === "console")) return;
  const [{ MediaPanel }, { TextPanel }] = await Promise.all([import("./media_panel.js"), import("./text_panel.js")]);
  makeRowsPanel = (spec, space, options) => (spec.kind === "string" || spec.kind === "other" ? new TextPanel(spec, space, options) : new MediaPanel(spec, space, options));
}

/**
 * Build the panel for a kind of values, whose class has been loaded.
 * @param {PanelSpec} spec
 * @param {Workspace} space
 * @param {{large?: boolean}} [options]
 * @returns {Panel}
 */
export function makePanel(spec, space, options) {
  if (spec.kind === "line") return new LinePanel(spec, space, options);
  if (spec.kind === "multi") return new MultiPanel(spec, space, options);
  if (!makeRowsPanel) throw new Error("The panels of media are not loaded.");
  return makeRowsPanel(spec, space, options);
}
