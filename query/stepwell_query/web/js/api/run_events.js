/**
 * The stream of a project's run updates. It is closed while the tab is hidden; after it is opened again, the service
 * sends the runs that changed in the meantime.
 */

import { eventsUrl, reachability } from "./service.js";

/** @typedef {{run_id: string, offset: number, step: number, state: string, deleted?: boolean}} RunUpdate */

export class RunEvents {
  /**
   * @param {string} entity
   * @param {string} project
   * @param {(updates: RunUpdate[]) => void} onUpdates
   */
  constructor(entity, project, onUpdates) {
    this.url = eventsUrl(entity, project);
    this.onUpdates = onUpdates;
    /** @type {EventSource | null} */
    this.source = null;
    document.addEventListener("visibilitychange", () => (document.hidden ? this.close() : this.open()));
    addEventListener("pagehide", () => this.close());
    this.open();
  }

  /** Open the stream, unless it is open. */
  open() {
    if (this.source && this.source.readyState !== EventSource.CLOSED) return;
    const source = new EventSource(this.url);
    this.source = source;
    source.addEventListener("open", () => reachability.report(true));
    source.addEventListener("error", () => {
      // The browser reconnects by itself, except after a response that is not a stream.
      if (this.source === source) reachability.report(false);
    });
    source.addEventListener("runs", (event) => this.onUpdates(JSON.parse(event.data).runs));
  }

  close() {
    this.source?.close();
    this.source = null;
  }
}
