/** The layout of a section's panels: a grid of columns and low rows, filled without holes. */

/** @typedef {{span: number, rows: number, grows: boolean}} Size columns and rows of a panel; `grows`: into a free column */
/** @typedef {{column: number, row: number, span: number}} Spot */

/** Kinds that need more room than a curve, or less. */
const TALLER = new Set(["table", "html", "plotly"]);
const WIDER = new Set([...TALLER, "image", "audio"]);

/**
 * Return the size of a panel by its kind.
 * @param {string} kind
 * @param {number} columns of the grid
 * @returns {Size}
 */
export function panelSize(kind, columns) {
  const wide = WIDER.has(kind);
  return { span: wide ? Math.min(2, columns) : 1, rows: kind === "audio" ? 1 : TALLER.has(kind) ? 3 : 2, grows: wide };
}

/**
 * Place panels in order; each fills the first gap that has room for it. Wide panels grow by a column that stays free.
 * @param {Size[]} sizes
 * @param {number} columns
 * @returns {{spots: Spot[], rows: number}} `rows`: of all panels
 */
export function placePanels(sizes, columns) {
  /** @type {boolean[][]} taken cells, by row */
  const taken = [];
  const isFree = (/** @type {number} */ column, /** @type {number} */ row, /** @type {number} */ span, /** @type {number} */ rows) => {
    for (let y = row; y < row + rows; y += 1) for (let x = column; x < column + span; x += 1) if (taken[y]?.[x]) return false;
    return true;
  };
  const take = (/** @type {number} */ column, /** @type {number} */ row, /** @type {number} */ span, /** @type {number} */ rows) => {
    for (let y = row; y < row + rows; y += 1) for (let x = column; x < column + span; x += 1) (taken[y] ??= new Array(columns).fill(false))[x] = true;
  };
  // Rows above are full: without this, thousands of panels would be compared with all rows.
  let first = 0;
  const spots = sizes.map(({ span, rows }) => {
    while (taken[first]?.every(Boolean)) first += 1;
    for (let row = first; ; row += 1) {
      for (let column = 0; column + span <= columns; column += 1) {
        if (!isFree(column, row, span, rows)) continue;
        take(column, row, span, rows);
        return { column, row, span };
      }
    }
  });
  for (const [at, spot] of spots.entries()) {
    const { rows, grows } = sizes[at];
    const edge = spot.column + spot.span;
    if (!grows || edge >= columns || !isFree(edge, spot.row, 1, rows)) continue;
    take(edge, spot.row, 1, rows);
    spot.span += 1;
  }
  return { spots, rows: taken.length };
}
