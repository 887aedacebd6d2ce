/**
 * Draws the figure that the page sends. Runs in a frame with an opaque origin: scripts in a figure have no access to the
 * page or to the service.
 */

/** @typedef {{figure: {data: object[], layout?: Record<string, unknown>, frames?: object[]}, colors: {text: string, grid: string, panel: string}}} FigureMessage */

const container = /** @type {HTMLElement} */ (document.getElementById("figure"));
/** @type {FigureMessage | null} */
let message = null;

addEventListener("message", (event) => {
  if (event.source !== parent || event.data === null || typeof event.data !== "object") return;
  message = event.data;
  void draw();
});

async function draw() {
  if (!message) return;
  try {
    await drawFigure(message);
  } catch (error) {
    container.className = "failed";
    container.textContent = `This figure can't be drawn: ${error}`;
  }
  const data = message.figure?.data;
  parent.postMessage({ drawn: Array.isArray(data) ? data.length : 0 }, "*");
}

/** @param {FigureMessage} message Throws if the figure is not valid. */
async function drawFigure({ figure, colors }) {
  const plotly = /** @type {any} */ (window).Plotly;
  const axis = { gridcolor: colors.grid, zerolinecolor: colors.grid, linecolor: colors.grid, automargin: true };
  // The figure's own layout has precedence over the theme, except for the size, which is that of the panel.
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
  await plotly.react(container, figure.data, layout, { responsive: true, displaylogo: false });
  if (figure.frames?.length) await plotly.addFrames(container, figure.frames);
}

addEventListener("load", () => parent.postMessage({ ready: true }, "*"));
