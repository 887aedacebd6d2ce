/** The arrangement of a project's charts: the order of its sections, and the charts put together here. It is remembered. */

import { defaultView, formatView, parseView } from "./url_state.js";

/** @typedef {import("./view_state.js").Store} Store */

/**
 * Restore the remembered arrangement, unless the address has a view, which a link shows to everybody alike; and remember
 * each change of it.
 * @param {Store} store
 * @param {string} entity
 * @param {string} project
 */
export function rememberArrangement(store, entity, project) {
  const key = `stepwell-arrangement ${entity}/${project}`;
  const remembered = location.search ? "" : read(key);
  if (remembered) {
    const { order, charts } = parseView(remembered);
    store.set({ order, charts });
  }
  store.on(({ order, charts }, changed) => {
    if (changed.has("order") || changed.has("charts")) write(key, formatView({ ...defaultView(), order, charts }));
  });
}

/** @param {string} key */
function read(key) {
  try {
    return localStorage.getItem(key) ?? "";
  } catch {
    return "";
  }
}

/** @param {string} key @param {string} text */
function write(key, text) {
  try {
    if (text) localStorage.setItem(key, text);
    else localStorage.removeItem(key);
  } catch {
    // Without storage, the arrangement is in the address alone.
  }
}
