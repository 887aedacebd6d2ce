/**
 * A scrolled list of sections and panels of which only the visible ones exist, so that 2,000 panels cost as much as a
 * dozen. All heights are known, so the visible items can be computed.
 */

import { h, icon, iconButton } from "../ui/dom.js";
import { panelSize, placePanels } from "./flow.js";
import { startDrag } from "./section_drag.js";
import { moveName } from "./sections.js";

/** @typedef {import("./sections.js").Section} Section */
/** @typedef {import("./sections.js").PanelSpec} PanelSpec */
/** @typedef {import("./panel.js").Panel} Panel */

/**
 * @typedef {object} Item The heading of a section, or a panel.
 * @property {string} id
 * @property {number} top
 * @property {number} height
 * @property {number} left
 * @property {number} width
 * @property {PanelSpec | null} panel
 * @property {Section} section
 * @property {boolean} folded
 * @property {boolean} isAlone whether there is no other section
 */

const HEAD = 40;
/** Height of a row; a curve has two, a player one, a table three. */
const ROW = 126;
const GAP = 12;
const MIN_WIDTH = 290;
const MARGIN = 200;

export class VirtualGrid {
  /**
   * @param {HTMLElement} scroller
   * @param {(spec: PanelSpec) => Panel} make
   * @param {(section: Section) => void} onFold
   * @param {(names: string[]) => void} onOrder receives the names of the sections in a new order
   */
  constructor(scroller, make, onFold, onOrder) {
    this.scroller = scroller;
    this.make = make;
    this.onFold = onFold;
    this.onOrder = onOrder;
    /** True while a section is dragged: all are shown folded, so that there is a place between any two. */
    this.dragging = false;
    this.element = h("div", { class: "grid" });
    /** @type {{section: Section, folded: boolean}[]} */
    this.sections = [];
    /** @type {Item[]} */
    this.items = [];
    /** @type {Map<string, {node: HTMLElement, panel: Panel | null, key: string}>} */
    this.nodes = new Map();
    this.framed = false;
    scroller.append(this.element);
    scroller.addEventListener("scroll", () => this.frame(), { passive: true });
    this.sizes = new ResizeObserver(() => this.layout());
    this.sizes.observe(scroller);
  }

  /** @param {{section: Section, folded: boolean}[]} sections */
  show(sections) {
    this.sections = sections;
    this.layout();
  }

  /** The panels that currently exist. */
  get panels() {
    return [...this.nodes.values()].flatMap(({ panel }) => (panel ? [panel] : []));
  }

  layout() {
    const width = this.element.clientWidth;
    if (!width) return;
    const columns = Math.max(1, Math.floor((width + GAP) / (MIN_WIDTH + GAP)));
    const each = (width - GAP * (columns - 1)) / columns;
    /** @type {Item[]} */
    const items = [];
    let top = 0;
    for (const { section, folded: chosen } of this.sections) {
      const folded = chosen || this.dragging;
      const id = `section ${section.own ? "own" : section.quiet} ${section.name}`;
      items.push({ id, top, height: HEAD, left: 0, width, panel: null, section, folded, isAlone: this.sections.length < 2 });
      top += HEAD;
      if (folded) continue;
      top = flow(section, folded, top, columns, each, items) + GAP;
    }
    this.items = items;
    this.element.style.height = `${top}px`;
    this.render();
  }

  frame() {
    if (this.framed) return;
    this.framed = true;
    requestAnimationFrame(() => {
      this.framed = false;
      this.render();
    });
  }

  render() {
    const offset = this.element.offsetTop;
    const low = this.scroller.scrollTop - offset - MARGIN;
    const high = this.scroller.scrollTop - offset + this.scroller.clientHeight + MARGIN;
    const focused = document.activeElement;
    // The focused item is kept, so that the keyboard focus is not lost.
    const visible = this.items.filter(
      (item) => (item.top + item.height > low && item.top < high) || this.nodes.get(item.id)?.node.contains(focused),
    );
    const keep = new Map(visible.map((item) => [item.id, item]));
    for (const [id, { node, panel, key }] of this.nodes) {
      const item = keep.get(id);
      if (item && key === renderKey(item)) continue;
      panel?.destroy();
      node.remove();
      this.nodes.delete(id);
    }
    let next = this.element.firstElementChild;
    for (const item of visible) {
      const node = this.ensureNode(item);
      setPosition(node, item);
      if (node === next) next = next.nextElementSibling;
      else this.element.insertBefore(node, next);
    }
  }

  /** @param {Item} item */
  ensureNode(item) {
    const existing = this.nodes.get(item.id);
    if (existing) return existing.node;
    const panel = item.panel ? this.make(item.panel) : null;
    const node = panel ? panel.element : this.head(item);
    this.nodes.set(item.id, { node, panel, key: renderKey(item) });
    return node;
  }

  /** @param {Item} item */
  head({ section, folded }) {
    const button = h(
      "button",
      { type: "button", class: "section-head", "aria-expanded": String(!folded), onclick: () => this.onFold(section) },
      icon("chevron"),
      h("span", { class: "section-name" }, section.name),
      h("span", { class: "section-count" }, section.panels.length),
    );
    if (this.sections.length < 2) return h("h2", { class: "section" }, button);
    const grip = iconButton("grip", `Move the section ${section.name}: drag it, or use the arrow keys`, () => undefined, { class: "icon-button grip", "data-section": section.name });
    grip.addEventListener("pointerdown", (event) => startDrag(event, this, section.name, HEAD));
    grip.addEventListener("keydown", (event) => this.moveByKey(event, section.name));
    return h("h2", { class: "section" }, button, grip);
  }

  /** The names of the sections, in order. */
  get names() {
    return this.sections.map(({ section }) => section.name);
  }

  /** @param {KeyboardEvent} event @param {string} name */
  moveByKey(event, name) {
    const by = { ArrowUp: -1, ArrowDown: 2 }[event.key];
    if (!by) return;
    event.preventDefault();
    this.move(name, Math.max(0, this.names.indexOf(name) + by));
    const grip = /** @type {HTMLElement | null} */ (this.element.querySelector(`.grip[data-section="${CSS.escape(name)}"]`));
    grip?.focus();
    grip?.scrollIntoView({ block: "nearest" });
  }

  /** @param {string} name of a section @param {number} to the index before which it is moved */
  move(name, to) {
    const names = moveName(this.names, name, to);
    if (names.join("\n") !== this.names.join("\n")) this.onOrder(names);
  }

  destroy() {
    this.sizes.disconnect();
    for (const { panel } of this.nodes.values()) panel?.destroy();
    this.nodes.clear();
    this.element.remove();
  }
}

/**
 * Lay out a section's panels. Return the end of the section.
 * @param {Section} section
 * @param {boolean} folded
 * @param {number} top
 * @param {number} columns
 * @param {number} each width of a column
 * @param {Item[]} into
 */
function flow(section, folded, top, columns, each, into) {
  const sizes = section.panels.map(({ kind }) => panelSize(kind, columns));
  const { spots, rows } = placePanels(sizes, columns);
  for (const [at, panel] of section.panels.entries()) {
    const { column, row, span } = spots[at];
    const width = each * span + GAP * (span - 1);
    const height = ROW * sizes[at].rows + GAP * (sizes[at].rows - 1);
    into.push({ id: panel.id, top: top + row * (ROW + GAP), height, left: column * (each + GAP), width, panel, section, folded, isAlone: false });
  }
  return top + rows * (ROW + GAP);
}

/** Return a key of the state for which an item must be rebuilt. @param {Item} item */
function renderKey(item) {
  if (item.panel) return JSON.stringify([item.panel.label, item.panel.writers, item.panel.members, item.panel.chart, item.panel.metrics]);
  return `${item.folded} ${item.section.panels.length} ${item.isAlone}`;
}

/** @param {HTMLElement} node @param {Item} item */
function setPosition(node, item) {
  const { style } = node;
  style.top = `${item.top}px`;
  style.left = `${item.left}px`;
  style.width = `${item.width}px`;
  style.height = `${item.height}px`;
}
