/** The view's state, kept in the URL: a link shows a colleague the same, and Back undoes. */

import { formatView, parseView } from "./url_state.js";

/** @typedef {import("../types.js").ViewState} ViewState */
/** @typedef {import("../types.js").PanelView} PanelView */
/** @typedef {(view: ViewState, changed: Set<string>) => void} Listener */

/**
 * @typedef {object} How
 * @property {boolean} [step] a change that Back undoes; others replace the address
 * @property {boolean} [often] one of many in a row, as of a slider or a search
 */

const WRITE_MS = 200;

export class Store {
  constructor() {
    /** @type {ViewState} */
    this.view = parseView(location.search);
    /** @type {Set<Listener>} */
    this.listeners = new Set();
    this.timer = 0;
    addEventListener("popstate", () => {
      this.settle();
      this.adopt(parseView(location.search));
    });
  }

  /**
   * Change the view. The address says so before anything is drawn: who loads the page anew at once finds it.
   * @param {Partial<ViewState>} patch
   * @param {How} [how]
   */
  set(patch, { step = false, often = false } = {}) {
    const view = { ...this.view, ...patch };
    if (step) {
      this.write();
      if (this.address(view) !== addressNow()) history.pushState(null, "", this.address(view));
    }
    // Browsers refuse addresses that change at a slider's pace.
    if (often) this.timer ||= window.setTimeout(() => this.write(), WRITE_MS);
    else if (!step) this.write(view);
    this.adopt(view);
  }

  /**
   * Change what is set on one panel.
   * @param {string} key
   * @param {PanelView} patch
   * @param {How} [how]
   */
  setPanel(key, patch, how) {
    const panels = { ...this.view.panels, [key]: { ...this.view.panels[key], ...patch } };
    this.set({ panels }, how);
  }

  /** @param {Listener} listener */
  on(listener) {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  address(view = this.view) {
    return location.pathname + formatView(view) + location.hash;
  }

  /** Let no address be written later. */
  settle() {
    clearTimeout(this.timer);
    this.timer = 0;
  }

  write(view = this.view) {
    this.settle();
    if (this.address(view) !== addressNow()) history.replaceState(null, "", this.address(view));
  }

  /** @param {ViewState} view */
  adopt(view) {
    const before = this.view;
    const names = /** @type {(keyof ViewState)[]} */ (Object.keys(view));
    const changed = new Set(names.filter((name) => JSON.stringify(view[name]) !== JSON.stringify(before[name])));
    this.view = view;
    if (changed.size) for (const listener of [...this.listeners]) listener(view, /** @type {Set<string>} */ (changed));
  }
}

function addressNow() {
  return location.pathname + location.search + location.hash;
}
