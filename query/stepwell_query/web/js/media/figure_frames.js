/** Plotly figures, drawn in frames with an opaque origin. Plotly is loaded in these frames only. */

import { figure as readFigure } from "../api/service.js";
import { h } from "../ui/dom.js";
import { missing } from "./missing_file.js";
import { onTheme, themed } from "../ui/theme.js";

const FRAME = new URL("../../frame/plotly.html", import.meta.url).pathname;

/**
 * Show a figure.
 * @param {any} value the figure's reference
 * @param {{name: string}} shown
 */
export function plotlyView(value, shown) {
  const frame = h("iframe", { class: "figure", src: FRAME, sandbox: "allow-scripts", title: value.caption ?? shown.name });
  const load = () => {
    const loading = readFigure(value.sha256);
    // A failure before the frame is ready is reported when it is ready.
    loading.catch(() => undefined);
    return loading;
  };
  let figure = load();
  const send = async () => {
    const colors = { text: themed("--text"), grid: themed("--line"), panel: themed("--panel") };
    // The target origin is `*`, since the frame's origin is opaque.
    frame.contentWindow?.postMessage({ figure: await figure, colors }, "*");
  };
  const receive = (/** @type {MessageEvent} */ event) => {
    // Scripts of a figure may post any message.
    if (event.source !== frame.contentWindow || event.data === null || typeof event.data !== "object") return;
    // A frame that is inserted again reloads, and then reports again that it is ready.
    if (event.data.ready) void send().catch(() => missing(frame, value, () => (figure = load())));
    else if (event.data.drawn !== undefined) frame.dataset.drawn = String(event.data.drawn);
  };
  addEventListener("message", receive);
  const offTheme = onTheme(() => void send().catch(() => undefined));
  const leave = () => {
    removeEventListener("message", receive);
    offTheme();
  };
  return { element: frame, leave };
}
