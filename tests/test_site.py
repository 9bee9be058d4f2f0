"""Every page of the built docs in a browser: no error on the console, no broken image or link.

    sphinx-build docs /tmp/site && SKMETAINV_SITE=/tmp/site pytest tests/test_site.py

Skipped without a built site, Playwright, or Chromium.
"""

import functools
import http.server
import os
import shutil
import threading
from pathlib import Path

import pytest

SITE = os.environ.get("SKMETAINV_SITE")
CHROMIUM = next(
    filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome"])), None
)
if not (SITE and CHROMIUM):
    pytest.skip("needs a built site and Chromium", allow_module_level=True)
sync_api = pytest.importorskip("playwright.sync_api")
FILES = [path.relative_to(SITE) for path in sorted(Path(SITE).rglob("*.html"))]
PAGES = [path.as_posix() for path in FILES if path.parts[0] != "_static"]
SIZES = {"desktop": (1366, 900), "phone": (390, 844)}


@pytest.fixture(scope="module")
def address():
    """Serve the site on a free port of this machine."""
    handler = functools.partial(QuietHandler, directory=SITE)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module", params=SIZES)
def opened(request, browser, address):
    """A page of the browser whose errors are collected; requests to other hosts are refused."""
    width, height = SIZES[request.param]
    page = browser.new_page(viewport={"width": width, "height": height})
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on(
        "console", lambda message: errors.append(message.text) if message.type == "error" else None
    )
    page.route(
        "**/*",
        lambda route: route.continue_() if route.request.url.startswith(address) else route.abort(),
    )
    yield page, errors
    page.close()


BROKEN_IMAGES = "[...document.images].filter(i => !i.complete || !i.naturalWidth).map(i => i.src)"
TOO_WIDE = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.mark.parametrize("path", PAGES)
def test_page(path, opened, address):
    page, errors = opened
    errors.clear()
    page.goto(f"{address}/{path}", wait_until="load")
    of_the_site = [error for error in errors if "ERR_FAILED" not in error]  # refused requests
    assert of_the_site == []
    assert page.evaluate(BROKEN_IMAGES) == []
    assert page.evaluate(TOO_WIDE) <= 0, "the page is wider than the window"
