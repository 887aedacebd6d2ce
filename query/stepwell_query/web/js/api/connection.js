/** Whether the service is reached: shown while it is not, and found out again and again until it is. */

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
    this.healed = new Set();
    reachability.report = (reached) => this.report(reached);
    addEventListener("online", () => this.lost && this.probe());
  }

  /**
   * Call a function whenever the service is reached again.
   * @param {() => void} call
   */
  onHealed(call) {
    this.healed.add(call);
    return () => this.healed.delete(call);
  }

  /** @param {boolean} reached */
  report(reached) {
    if (reached === !this.lost) return;
    this.lost = !reached;
    this.banner.hidden = reached;
    clearTimeout(this.timer);
    if (reached) {
      this.tries = 0;
      for (const call of [...this.healed]) call();
      return;
    }
    fill(this.banner, "Connection to the service lost. ", h("span", {}, "What you see may be old; trying again…"));
    this.wait();
  }

  wait() {
    clearTimeout(this.timer);
    const wait = WAITS_MS[Math.min(this.tries, WAITS_MS.length - 1)];
    this.timer = window.setTimeout(() => this.probe(), wait);
    this.tries += 1;
  }

  async probe() {
    // A page reads: it needs ClickHouse, and neither the broker nor the ingestor.
    const reached = await fetch("/readyz")
      .then(async (answer) => answer.ok || (await answer.json()).parts?.clickhouse?.state === "up")
      .catch(() => false);
    if (reached) this.report(true);
    else this.wait();
  }
}
