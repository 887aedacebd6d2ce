/** Shows a banner while the service is unreachable, and probes the service until it responds. */

import { reachability } from "./service.js";
import { fill, h } from "../ui/dom.js";

const WAITS_MS = [1000, 2000, 4000, 5000];

export class Connection {
  /** @param {HTMLElement} banner */
  constructor(banner) {
    this.banner = banner;
    this.lost = false;
    this.tries = 0;
    this.timer = 0;
    /** @type {Set<() => void>} */
    this.reconnected = new Set();
    reachability.report = (reached) => this.report(reached);
    addEventListener("online", () => this.lost && this.probe());
  }

  /**
   * Register a function to call each time the service is reachable again.
   * @param {() => void} call
   */
  onReconnected(call) {
    this.reconnected.add(call);
    return () => this.reconnected.delete(call);
  }

  /** @param {boolean} reached */
  report(reached) {
    if (reached === !this.lost) return;
    this.lost = !reached;
    this.banner.hidden = reached;
    clearTimeout(this.timer);
    if (reached) {
      this.tries = 0;
      for (const call of [...this.reconnected]) call();
      return;
    }
    fill(this.banner, "Connection to the service lost. ", h("span", {}, "The data shown may be outdated. Reconnecting…"));
    this.scheduleProbe();
  }

  scheduleProbe() {
    clearTimeout(this.timer);
    const wait = WAITS_MS[Math.min(this.tries, WAITS_MS.length - 1)];
    this.timer = window.setTimeout(() => this.probe(), wait);
    this.tries += 1;
  }

  async probe() {
    // The page only reads: it needs ClickHouse, but neither the broker nor the ingestor.
    const reached = await fetch("/readyz")
      .then(async (response) => response.ok || (await response.json()).parts?.clickhouse?.state === "up")
      .catch(() => false);
    if (reached) this.report(true);
    else this.scheduleProbe();
  }
}
