/** Spreads calls over frames, so that no task keeps the page from answering: drawing a dozen charts takes 200 ms. */

const FRAME_MS = 12;

export class FrameQueue {
  /**
   * @param {(busy: boolean) => void} [onBusy] called when calls begin to wait, and when none is left
   * @param {number} [most] calls of a frame, for calls whose effect takes longer to paint than they take
   */
  constructor(onBusy = () => undefined, most = Infinity) {
    this.onBusy = onBusy;
    this.most = most;
    /** @type {(() => void)[]} */
    this.calls = [];
    this.framed = false;
  }

  /**
   * Call functions in the next frames, in order, instead of those that still wait.
   * @param {(() => void)[]} calls
   */
  replace(calls) {
    this.calls = calls;
    if (this.framed) return;
    this.framed = true;
    this.onBusy(true);
    requestAnimationFrame(() => this.run());
  }

  /** Call as many functions as a frame has time for, at least one. */
  async run() {
    const began = performance.now();
    let left = this.most;
    do {
      left -= 1;
      this.calls.shift()?.();
      // uPlot draws in a microtask: only after it is the time of a call known.
      await null;
    } while (left > 0 && this.calls.length && performance.now() - began < FRAME_MS);
    this.framed = this.calls.length > 0;
    if (this.framed) requestAnimationFrame(() => this.run());
    else this.onBusy(false);
  }
}
