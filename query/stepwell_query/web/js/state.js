/** The view's state, kept in the URL: a link shows a colleague the same, and Back undoes. */

import { formatView, parseView } from "./url_state.js";

/** @typedef {import("./types.js").ViewState} ViewState */
/** @typedef {import("./types.js").PanelView} PanelView */
/** @typedef {(view: ViewState, changed: Set<string>) => void} Listener */

const WRITE_MS = 200;

export class Store {
  constructor() {
    /** @type {ViewState} */
    this.view = parseView(location.search);
    /** @type {Set<Listener>} */
    this.listeners = new Set();
    this.timer = 0;
    addEventListener("popstate", () => this.adopt(parseView(location.search)));
  }

  /**
   * Change the view. `step`: a change that Back undoes; others (a slider, a search) replace the address.
   * @param {Partial<ViewState>} patch
   * @param {{step?: boolean}} [options]
   */
  set(patch, { step = false } = {}) {
    if (step) this.write();
    this.adopt({ ...this.view, ...patch });
    clearTimeout(this.timer);
    if (step) history.pushState(null, "", this.address());
    // Browsers refuse addresses that change at a slider's pace.
    else this.timer = window.setTimeout(() => this.write(), WRITE_MS);
  }

  /**
   * Change what is set on one panel.
   * @param {string} key
   * @param {PanelView} patch
   * @param {{step?: boolean}} [options]
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

  address() {
    return location.pathname + formatView(this.view) + location.hash;
  }

  write() {
    clearTimeout(this.timer);
    if (this.address() !== location.pathname + location.search + location.hash) {
      history.replaceState(null, "", this.address());
    }
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
