"""The page in Chromium: its weight, 12 panels of 10^6 steps, hover, drag and zoom, a live run.

`python tests/bench/page.py` prints the figures.
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

import httpx
import numpy as np
from playwright.sync_api import Page as BrowserPage
from playwright.sync_api import sync_playwright
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))

from stepwell_query.web_assets import RARE, Page
from stepwell_schemas.clickhouse.store import Store, connect
from stepwell_schemas.logs import configure_logging
from stepwell_schemas.migrations.runner import migrate
from stepwell_schemas.rules.identifiers import RunPath
from support.factories.points import RunWriter, gathered
from support.servers import chromium
from support.servers.sdk import serving

_PANELS: Final = 12
_STEPS: Final = 1_000_000
_VISITS: Final = 5
_ZOOMS: Final = 5
_RUNS: Final = 30
_MOVES: Final = 60
_LIVE_SECONDS: Final = 15
_LIVE_RATE: Final = 1_000
_SIZE: Final = {"width": 1600, "height": 1000}

# Records the time at which the last panel has drawn, in milliseconds since the navigation began.
_WATCH: Final = """
window.watched = { drawn: 0, frames: [] };
const look = () => {
  const charts = [...document.querySelectorAll('.chart')];
  if (charts.filter((one) => Number(one.dataset.lines) > 0).length >= PANELS) watched.drawn = performance.now();
  else requestAnimationFrame(look);
};
look();
let last = 0;
const frame = (now) => { if (last) watched.frames.push(now - last); last = now; requestAnimationFrame(frame); };
requestAnimationFrame(frame);
""".replace("PANELS", str(_PANELS))

# Records the time from the button's release to the next draws: from the loaded points, and from finer ones.
_ZOOM: Final = """
() => {
  const chart = document.querySelector('.chart');
  window.zoomed = new Promise((done) => {
    document.addEventListener('mouseup', () => {
      const began = performance.now();
      const before = chart.dataset.points;
      let coarse = 0;
      requestAnimationFrame(() => requestAnimationFrame(() => { coarse = performance.now() - began; }));
      const look = () => {
        if (chart.dataset.points === before) requestAnimationFrame(look);
        else requestAnimationFrame(() => done([coarse, performance.now() - began]));
      };
      look();
    }, { once: true, capture: true });
  });
}
"""


def fill(store: Store) -> RunPath:
    """Write a run of twelve noisy series of a million steps."""
    run = RunPath("bench", "page", "long")
    writer = RunWriter(store, run).document(display_name="long", state="finished")
    steps = np.arange(_STEPS)
    for number in range(_PANELS):
        noise = np.random.default_rng(number).normal(0, 0.05, _STEPS)
        writer.numbers(f"metric/{number:02d}", steps, np.exp(-steps / _STEPS * 3) + noise)
    return run


def fill_many(store: Store) -> None:
    """Write a project of many runs with as many metrics."""
    steps = np.arange(2_000)
    with gathered(store) as gathering:
        for run in range(_RUNS):
            writer = RunWriter(gathering, RunPath("bench", "many", f"run-{run}"), rolled=False)
            writer.document(display_name=f"run-{run}", state="finished")
            for number in range(_PANELS):
                noise = np.random.default_rng(run * _PANELS + number).normal(0, 0.05, len(steps))
                writer.numbers(f"metric/{number:02d}", steps, np.exp(-steps / 700) + run / _RUNS + noise)


def requested(url: str, run: RunPath) -> float:
    """Return the median milliseconds of the one request that the page makes for its twelve series."""
    body = {"runs": [str(run)], "keys": [f"metric/{number:02d}" for number in range(_PANELS)], "points": 1_000}
    times = []
    for _ in range(_VISITS):
        began = time.perf_counter()
        httpx.post(f"{url}/api/v1/series", json=body, timeout=60).raise_for_status()
        times.append((time.perf_counter() - began) * 1_000)
    return median(times)


@contextmanager
def opened() -> Iterator[BrowserPage]:
    """Open a window in a separate Chromium."""
    path = chromium.find()
    if path is None:
        sys.exit(chromium.MISSING)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(chromium.ARGUMENTS))
        page = browser.new_page(viewport=_SIZE)  # type: ignore[arg-type]
        page.add_init_script(_WATCH)
        yield page
        browser.close()


@contextmanager
def traced(page: BrowserPage) -> Iterator[list[tuple[float, float]]]:
    """Fill the list, at the end of the block, with the tasks of the page's main thread: wall and CPU milliseconds."""
    browser = page.context.browser
    assert browser is not None
    browser.start_tracing(page=page, categories=["toplevel", "__metadata"])
    tasks: list[tuple[float, float]] = []
    yield tasks
    events = json.loads(browser.stop_tracing())["traceEvents"]
    mains = {(one["pid"], one["tid"]) for one in events if one.get("args", {}).get("name") == "CrRendererMain"}
    tasks += [
        (one["dur"] / 1_000, one.get("tdur", one["dur"]) / 1_000)
        for one in events
        if one.get("name") == "ThreadControllerImpl::RunTask" and (one["pid"], one["tid"]) in mains and "dur" in one
    ]


def visited(page: BrowserPage, address: str) -> float:
    """Return the milliseconds from the first byte to the last panel drawn."""
    page.goto(address)
    page.wait_for_function("() => watched.drawn > 0", timeout=60_000)
    return float(page.evaluate("() => watched.drawn - performance.getEntriesByType('navigation')[0].responseStart"))


def zoomed(page: BrowserPage) -> list[tuple[float, float]]:
    """Return the milliseconds to the first redraw, and to the redraw with finer points, for some zooms."""
    times = []
    over = page.locator(".chart .u-over").first
    for at in range(_ZOOMS):
        box = over.bounding_box()
        assert box is not None
        page.evaluate(_ZOOM)
        page.mouse.move(box["x"] + box["width"] * (0.1 + at * 0.1), box["y"] + 50)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] * (0.3 + at * 0.1), box["y"] + 50, steps=2)
        page.mouse.up()
        first, finer = page.evaluate("() => window.zoomed")
        times.append((first, finer))
        over.dblclick()
        page.wait_for_timeout(300)
    return times


class Interaction(NamedTuple):
    """Measurements of the page while someone uses it: milliseconds between frames, tasks (wall and CPU), long tasks."""

    name: str
    frames: list[float]
    tasks: list[tuple[float, float]]
    reported: list[float]


# The browser reports tasks of more than 50 ms by the clock.
_LONG_TASKS: Final = """
() => {
  window.longTasks = [];
  const note = (list) => longTasks.push(...list.getEntries().map((one) => one.duration));
  new PerformanceObserver(note).observe({ type: 'longtask' });
}
"""


def interactions(page: BrowserPage, address: str) -> list[Interaction]:
    """Hover over a chart of many runs, drag over it, zoom by releasing, and hover over the list of runs."""
    page.goto(address)
    page.wait_for_function("() => watched.drawn > 0", timeout=60_000)
    page.wait_for_timeout(1_000)
    page.evaluate(_LONG_TASKS)
    box = page.locator(".chart .u-over").first.bounding_box()
    assert box is not None
    left, width, top, height = box["x"], box["width"], box["y"], box["height"]

    def hover() -> None:
        for at in range(_MOVES):
            page.mouse.move(left + width * (at + 1) / (_MOVES + 2), top + height * (0.2 + 0.6 * at / _MOVES))

    def drag() -> None:
        page.mouse.move(left + width * 0.3, top + height / 2)
        page.mouse.down()
        page.mouse.move(left + width * 0.7, top + height / 2, steps=_MOVES)

    def zoom() -> None:
        page.mouse.up()
        page.wait_for_timeout(1_500)

    def names() -> None:
        page.locator(".chart .u-over").first.dblclick()
        page.wait_for_timeout(1_500)
        for row in page.locator(".runs-table tbody tr[data-owner]").all()[:10]:
            row.hover()

    acts = {"hover over a chart": hover, "drag": drag, "zoom of 12 charts": zoom, "hover over names": names}
    return [_measure(page, name, act) for name, act in acts.items()]


def _measure(page: BrowserPage, name: str, act: Callable[[], None]) -> Interaction:
    page.evaluate("() => { watched.frames.length = 0; longTasks.length = 0 }")
    with traced(page) as tasks:
        act()
    frames, reported = page.evaluate("() => [watched.frames, longTasks]")
    return Interaction(name, sorted(frames), tasks, reported)


class Live(NamedTuple):
    """Measurements of a page with a live run: milliseconds between frames, tasks (wall and CPU), answers drawn."""

    frames: list[float]
    tasks: list[tuple[float, float]]
    answers: int


def live(page: BrowserPage, store: Store, url: str) -> Live:
    """Log a run at a rate while its page is open; return the page's measurements."""
    run = RunPath("bench", "live", "run")
    writer = RunWriter(store, run).document(display_name="run")
    stopped = threading.Event()

    def log() -> None:
        step, chunk = 0, _LIVE_RATE // 2
        while not stopped.wait(0.5):
            steps = np.arange(step, step + chunk)
            for number in range(_PANELS):
                writer.numbers(f"metric/{number:02d}", steps, np.random.default_rng(step).normal(size=chunk))
            step += chunk

    thread = threading.Thread(target=log)
    thread.start()
    try:
        page.goto(f"{url}/bench/live")
        page.wait_for_function("() => watched.drawn > 0", timeout=60_000)
        page.evaluate("() => { watched.frames.length = 0 }")
        answers: list[str] = []
        page.on("requestfinished", lambda request: answers.append(request.url) if "series" in request.url else None)
        with traced(page) as tasks:
            page.wait_for_timeout(_LIVE_SECONDS * 1_000)
        frames: list[float] = page.evaluate("() => watched.frames")
    finally:
        stopped.set()
        thread.join()
    return Live(sorted(frames), tasks, len(answers))


def _longest(tasks: list[tuple[float, float]]) -> tuple[str, str]:
    cpu = max(cpu for _, cpu in tasks)
    clock = max(clock for clock, _ in tasks)
    return f"{cpu:.0f} ms of CPU", f"{clock:.0f} ms by the clock; {sum(cpu > 50 for _, cpu in tasks)} over 50 ms of CPU"


def main() -> None:
    """Print the figures. Goals: 1 s to 12 panels, 150 ms from zoom to redraw, no frame over 50 ms, 150 kB."""
    configure_logging("warning")
    table = Table("what", "figure", "beside", title="The page in Chromium")
    assets = Page.read()
    weight = sum(len(one.encoded("br")[0]) for name, one in assets.assets.items() if name not in RARE)
    table.add_row("weight of the first view, compressed", f"{weight / 1_000:.0f} kB", f"{len(assets.assets)} files")
    with tempfile.TemporaryDirectory() as folder, connect(f"chdb://{folder}/engine", "bench") as store:
        migrate(store)
        run = fill(store)
        with serving(store, media_url=f"{folder}/media") as url, opened() as page:
            alone = requested(url, run)
            with traced(page) as tasks:
                visits = [visited(page, f"{url}/bench/page") for _ in range(_VISITS)]
            shown = median(visits)
            beside = f"{shown / alone:.2f} × the request alone ({alone:.0f} ms); first visit {visits[0]:.0f} ms"
            table.add_row("first byte to 12 panels of 10^6 steps", f"{shown:.0f} ms", beside)
            table.add_row("longest task meanwhile", *_longest(tasks))
            zooms = zoomed(page)
            finer = median(one for _, one in zooms)
            table.add_row("zoom to redraw", f"{median(one for one, _ in zooms):.0f} ms", f"finer points {finer:.0f} ms")
            fill_many(store)
            for one in interactions(page, f"{url}/bench/many?show={','.join(f'run-{at}' for at in range(_RUNS))}"):
                what = f"{one.name}, {_RUNS} runs × {_PANELS} metrics: longest task"
                over = f"{len(one.reported)} tasks over 50 ms reported, longest {max(one.reported, default=0):.0f} ms"
                table.add_row(what, *_longest(one.tasks))
                frames = one.frames or [0.0]
                table.add_row("its frames", f"median {median(frames):.0f} ms, longest {frames[-1]:.0f} ms", over)
            seen = live(page, store, url)
            what = f"live run, {_LIVE_RATE:,} steps/s × {_PANELS} metrics, {seen.answers} answers drawn"
            frames = seen.frames
            between = f"p99 {frames[len(frames) * 99 // 100]:.0f} ms, longest {frames[-1]:.0f} ms"
            table.add_row(what, between, f"between {len(frames):,} frames, by the clock")
            table.add_row("its longest task", *_longest(seen.tasks))
            page.goto("about:blank")
    Console().print(table)


if __name__ == "__main__":
    main()
