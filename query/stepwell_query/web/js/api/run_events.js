/** News of a project: which runs have moved on. Silent while nobody looks; on return, all that moved meanwhile. */

import { eventsUrl, reachability } from "./service.js";

/** @typedef {{run_id: string, offset: number, step: number, state: string}} RunUpdate */

export class RunEvents {
  /**
   * @param {string} entity
   * @param {string} project
   * @param {(runs: RunUpdate[]) => void} tell
   */
  constructor(entity, project, tell) {
    this.url = eventsUrl(entity, project);
    this.tell = tell;
    /** @type {EventSource | null} */
    this.source = null;
    document.addEventListener("visibilitychange", () => (document.hidden ? this.close() : this.open()));
    addEventListener("pagehide", () => this.close());
    this.open();
  }

  /** Begin to listen, unless it does. */
  open() {
    if (this.source && this.source.readyState !== EventSource.CLOSED) return;
    const source = new EventSource(this.url);
    this.source = source;
    source.addEventListener("open", () => reachability.report(true));
    source.addEventListener("error", () => {
      // The browser tries again by itself, except after an answer that is no stream.
      if (this.source === source) reachability.report(false);
    });
    source.addEventListener("runs", (event) => this.tell(JSON.parse(event.data).runs));
  }

  close() {
    this.source?.close();
    this.source = null;
  }
}
