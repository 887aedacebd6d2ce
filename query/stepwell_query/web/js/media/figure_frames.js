/** Figures of Plotly, drawn in frames of no origin; Plotly is loaded there alone, when there is a figure. */

import { figure as readFigure } from "../api/service.js";
import { h } from "../ui/dom.js";
import { missing } from "./missing_file.js";
import { onTheme, themed } from "../ui/theme.js";

const FRAME = new URL("../frame/plotly.html", import.meta.url).pathname;

/**
 * @param {any} value the figure's reference
 * @param {{name: string}} shown
 */
export function plotlyView(value, shown) {
  const frame = h("iframe", { class: "figure", src: FRAME, sandbox: "allow-scripts", title: value.caption ?? shown.name });
  const ask = () => {
    const asked = readFigure(value.sha256);
    // It may fail before the frame is ready for it; that is told then.
    asked.catch(() => undefined);
    return asked;
  };
  let figure = ask();
  const hand = async () => {
    const colors = { text: themed("--text"), grid: themed("--line"), panel: themed("--panel") };
    // The frame has no origin that a message could be for.
    frame.contentWindow?.postMessage({ figure: await figure, colors }, "*");
  };
  const hear = (/** @type {MessageEvent} */ event) => {
    // A figure may post anything of its own.
    if (event.source !== frame.contentWindow || event.data === null || typeof event.data !== "object") return;
    // A frame that is put back loads anew, and tells that it is ready.
    if (event.data.ready) void hand().catch(() => missing(frame, value, () => (figure = ask())));
    else if (event.data.drawn !== undefined) frame.dataset.drawn = String(event.data.drawn);
  };
  addEventListener("message", hear);
  const offTheme = onTheme(() => void hand().catch(() => undefined));
  const leave = () => {
    removeEventListener("message", hear);
    offTheme();
  };
  return { element: frame, leave };
}
