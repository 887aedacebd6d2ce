/**
 * Draws a figure that the page hands over. Runs in a frame of an origin of its own: what a figure may bring along
 * reaches neither the page nor the service.
 */

/** @typedef {{figure: {data: object[], layout?: Record<string, unknown>, frames?: object[]}, colors: {text: string, grid: string, panel: string}}} Handed */

const place = /** @type {HTMLElement} */ (document.getElementById("figure"));
/** @type {Handed | null} */
let handed = null;

addEventListener("message", (event) => {
  if (event.source !== parent || event.data === null || typeof event.data !== "object") return;
  handed = event.data;
  void draw();
});

async function draw() {
  if (!handed) return;
  try {
    await drawFigure(handed);
  } catch (error) {
    place.className = "failed";
    place.textContent = `This figure can't be drawn: ${error}`;
  }
  const data = handed.figure?.data;
  parent.postMessage({ drawn: Array.isArray(data) ? data.length : 0 }, "*");
}

/** @param {Handed} handed Throws when the figure is none. */
async function drawFigure({ figure, colors }) {
  const plotly = /** @type {any} */ (window).Plotly;
  const axis = { gridcolor: colors.grid, zerolinecolor: colors.grid, linecolor: colors.grid, automargin: true };
  // What the figure says itself holds over the theme, but for the size: the panel's.
  /** @type {Record<string, any>} */
  const layout = {
    paper_bgcolor: "transparent",
    plot_bgcolor: "transparent",
    margin: { l: 48, r: 16, t: figure.layout?.title ? 44 : 16, b: 40 },
    ...figure.layout,
    font: { color: colors.text, size: 11, .../** @type {object} */ (figure.layout?.font ?? {}) },
    width: undefined,
    height: undefined,
    autosize: true,
  };
  for (const name of Object.keys(layout).concat("xaxis", "yaxis")) {
    if (/^[xy]axis\d*$/.test(name)) layout[name] = { ...axis, ...layout[name] };
  }
  await plotly.react(place, figure.data, layout, { responsive: true, displaylogo: false });
  if (figure.frames?.length) await plotly.addFrames(place, figure.frames);
}

addEventListener("load", () => parent.postMessage({ ready: true }, "*"));
