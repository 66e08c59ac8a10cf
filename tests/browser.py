"""The dashboard in a headless Chromium: for the tests in a browser, and for the picture of the README.

``python -m tests.browser [HOME] [PNG]`` takes it (`make screenshot`).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from flows.processes.ports import free_port

REPOSITORY = Path(__file__).resolve().parents[1]
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "/usr/bin/chromium"))), None
)
_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
          "--disable-component-update", "--disable-sync"]  # fmt: skip


@contextmanager
def dashboard(store: Path) -> Iterator[str]:
    """Address of a dashboard over a store, started as the launcher starts it."""
    address = f"http://127.0.0.1:{(port := free_port())}"
    process = subprocess.Popen(
        [sys.executable, "-m", "app", "--port", str(port)],
        cwd=REPOSITORY,
        env=os.environ | {"CANDLEWORKS_STORE": str(store)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait(f"{address}/_stcore/health", process)
        yield address
    finally:
        process.terminate()
        process.wait(timeout=20)


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(240):
        if process.poll() is not None:
            raise RuntimeError("the dashboard's server exited")
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.25)
    raise TimeoutError(f"{url} did not answer within a minute")


@contextmanager
def headless() -> Iterator[Browser]:
    """A Chromium without a window."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=_FLAGS)
        yield chromium
        chromium.close()


def settle(page: Page, title: str) -> None:
    """Wait until a page of the dashboard is drawn."""
    page.wait_for_selector(f"h1:has-text('{title}')", timeout=60_000)
    page.wait_for_selector("[data-testid=stMetric], .cw-note", timeout=60_000)
    page.wait_for_function("!document.querySelector('[data-testid=stStatusWidget]')", timeout=60_000)
    page.wait_for_timeout(500)


def take_screenshot(home: Path, png: Path) -> None:
    """The page Today of a home, as an image of 1280 x 800 pixels."""
    with dashboard(home / "store") as address, headless() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 800}, color_scheme="light")
        page.goto(address)
        settle(page, "Today")
        page.screenshot(path=png)


if __name__ == "__main__":
    given = [Path(argument) for argument in sys.argv[1:]]
    home, png = (*given, *(Path(".candleworks"), Path("app/dashboard.png"))[len(given) :])
    if not (home / "store").is_dir() or CHROMIUM is None:
        sys.exit(f"Needs a Chromium, and a home with a published snapshot in {home}: run `make demo`.")
    take_screenshot(home.resolve(), png)
