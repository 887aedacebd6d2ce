/** Files of a chart: what it shows, as a picture in the colours of the light theme, or as values. */

import { chartRows } from "../charts/export_csv.js";
import { chartSvg } from "../charts/export_svg.js";
import { toCsv } from "../ui/csv.js";
import { download, fileName } from "../ui/download.js";
import { formatZoom } from "./view_chips.js";

/** @typedef {import("./line_panel.js").LinePanel} LinePanel */
/** @typedef {import("../charts/export_svg.js").Snapshot} Snapshot */

/** Pixels of a picture for each one of the drawing: it is to look sharp in print. */
const SCALE = 2;

const SMOOTHINGS = { ema: "exponential smoothing", average: "running average of", gaussian: "gaussian smoothing" };

/**
 * Return what a panel shows.
 * @param {LinePanel} panel
 * @returns {Snapshot}
 */
function snapshot(panel) {
  const { space, spec } = panel;
  const { smooth } = space.store.view;
  const view = panel.chartView();
  const lines = panel.soloLines(panel.lines());
  const notes = [
    view.zoom ? formatZoom({ axis: view.axis, low: view.zoom[0], high: view.zoom[1] }) : "",
    smooth.kind === "none" ? "" : `${SMOOTHINGS[smooth.kind]} ${smooth.amount}`,
    lines.some((line) => line.sampled && line.band === "min–max") ? "means, with bands from minimum to maximum" : "",
    lines.some((line) => line.band === "± std") ? "means of groups, with bands of one standard deviation" : "",
    lines.some((line) => line.band === "ranks") ? "means of ranks, with bands of their extremes" : "",
  ].filter(Boolean);
  const ranges = panel.chart.ranges();
  if (!ranges) throw new Error("the chart is empty");
  return { title: spec.key, place: `${space.runs.entity}/${space.runs.project}`, notes, lines, view, ranges };
}

/** @param {LinePanel} panel @param {string} extension */
function nameFile(panel, extension) {
  const { space, spec } = panel;
  const view = panel.chartView();
  const run = space.ofRun ? [space.runs.runs[0]?.run_id ?? ""] : [];
  return fileName([space.runs.project, ...run, spec.key, ...(view.zoom ? [view.axis.replace(/^_/, ""), ...view.zoom.map((end) => String(Number(end.toPrecision(6))))] : [])], extension);
}

/** @param {LinePanel} panel */
export function downloadSvg(panel) {
  const { text } = chartSvg(snapshot(panel));
  download(nameFile(panel, "svg"), new Blob([text], { type: "image/svg+xml" }));
}

/** @param {LinePanel} panel */
export async function downloadPng(panel) {
  const { text, width, height } = chartSvg(snapshot(panel));
  const name = nameFile(panel, "png");
  const url = URL.createObjectURL(new Blob([text], { type: "image/svg+xml" }));
  try {
    const image = new Image();
    image.src = url;
    await image.decode();
    const canvas = document.createElement("canvas");
    canvas.width = width * SCALE;
    canvas.height = height * SCALE;
    canvas.getContext("2d")?.drawImage(image, 0, 0, canvas.width, canvas.height);
    const blob = await new Promise((/** @type {(blob: Blob | null) => void} */ done) => canvas.toBlob(done, "image/png"));
    if (!blob) throw new Error("the browser could not encode the picture");
    download(name, blob);
  } finally {
    URL.revokeObjectURL(url);
  }
}

/** Download the points that the chart shows; the name says if they are not all rows. @param {LinePanel} panel */
export function downloadCsv(panel) {
  const shown = snapshot(panel);
  const sampled = shown.lines.some((line) => line.sampled) ? "-sampled" : "";
  const name = nameFile(panel, "csv").replace(/\.csv$/, `${sampled}.csv`);
  download(name, new Blob([toCsv(chartRows(shown))], { type: "text/csv;charset=utf-8" }));
}
