"""Makes the README's picture: runs the demo and looks at its page. `make screenshot`."""

from __future__ import annotations

import io
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.servers import chromium

IMAGES: Final = Path(__file__).parents[2] / "docs" / "images"
# Two columns, which these sections fill.
_VIEW: Final = "?q=%5E(accuracy%7Closs)%24%7Ctrain%7Cdigit&smooth=ema:0.6"
_SIZE: Final = {"width": 1100, "height": 1100}
_WAIT_MS: Final = 60_000


def shoot(page: Page, address: str) -> bytes:
    """Return a picture of a project's page, as PNG."""
    page.goto(address + _VIEW)
    expect(page.locator('article[data-key="loss"] .chart')).to_have_attribute("data-lines", "1", timeout=_WAIT_MS)
    expect(page.locator('article[data-key="train/loss"] .chart')).to_have_attribute("data-lines", "3", timeout=_WAIT_MS)
    pictures = page.locator('article[data-key="weights/by digit"] img')
    expect(pictures).to_have_count(30, timeout=_WAIT_MS)
    for picture in pictures.all():
        picture.evaluate("(image) => image.decode()")
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return page.screenshot()


def main() -> None:
    """Write docs/images/page.png."""
    path = chromium.find()
    if path is None:
        sys.exit(chromium.MISSING)
    stepwell = str(Path(sys.executable).parent / "stepwell")
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([stepwell, "demo", "--exit", "--dir", folder, *sys.argv[1:]], check=True)
        up = [stepwell, "up", "--dir", f"{folder}/server", "--port", "0"]
        with subprocess.Popen(up, stdout=subprocess.PIPE, text=True) as service:
            assert service.stdout is not None
            try:
                url = service.stdout.readline().removeprefix("ready ").strip()
                with sync_playwright() as playwright:
                    browser = playwright.chromium.launch(executable_path=path, args=list(chromium.ARGUMENTS))
                    picture = shoot(browser.new_page(viewport=_SIZE), f"{url}/demo/digits")  # type: ignore[arg-type]
                    browser.close()
            finally:
                service.terminate()
                service.communicate()
    IMAGES.mkdir(parents=True, exist_ok=True)
    Image.open(io.BytesIO(picture)).convert("RGB").save(IMAGES / "page.png", optimize=True)


if __name__ == "__main__":
    main()
