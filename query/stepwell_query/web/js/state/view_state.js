/** The state of the view, stored in the URL: a link shows the same view, and Back undoes a change. */

import { formatView, parseView } from "./url_state.js";

/** @typedef {import("../types.js").ViewState} ViewState */
/** @typedef {import("../types.js").PanelView} PanelView */
/** @typedef {(view: ViewState, changed: Set<string>) => void} Listener */

/**
 * @typedef {object} ChangeOptions
 * @property {boolean} [step] Back undoes the change; otherwise it replaces the current address
 * @property {boolean} [often] one of many successive changes, as of a slider or a search
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
      this.cancelWrite();
      this.adopt(parseView(location.search));
    });
  }

  /**
   * Change the view. The address is updated before anything is drawn, so that a reload immediately after keeps the
   * change.
   * @param {Partial<ViewState>} patch
   * @param {ChangeOptions} [options]
   */
  set(patch, { step = false, often = false } = {}) {
    const view = { ...this.view, ...patch };
    if (step) {
      this.write();
      if (this.address(view) !== addressNow()) history.pushState(null, "", this.address(view));
    }
    // Browsers limit the rate at which addresses may change.
    if (often) this.timer ||= window.setTimeout(() => this.write(), WRITE_MS);
    else if (!step) this.write(view);
    this.adopt(view);
  }

  /**
   * Change the settings of a panel.
   * @param {string} key
   * @param {PanelView} patch
   * @param {ChangeOptions} [options]
   */
  setPanel(key, patch, options) {
    const panels = { ...this.view.panels, [key]: { ...this.view.panels[key], ...patch } };
    this.set({ panels }, options);
  }

  /** @param {Listener} listener */
  on(listener) {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  address(view = this.view) {
    return location.pathname + formatView(view) + location.hash;
  }

  /** Cancel the pending update of the address. */
  cancelWrite() {
    clearTimeout(this.timer);
    this.timer = 0;
  }

  write(view = this.view) {
    this.cancelWrite();
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
