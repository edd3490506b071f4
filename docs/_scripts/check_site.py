"""Look at the built site in a browser: ``python docs/_scripts/check_site.py docs/_build``.

Every page is opened in Chromium, wide as on a desk and narrow as on a phone. It may not write errors to
the console, scroll sideways, miss a picture, or link to what there is not; on pages of the API no name may
stand that cannot be typed. The search finds what is there, and the switch to dark colors works.
"""

import argparse
import functools
import re
import shutil
import sys
import tempfile
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

from selenium import webdriver
from selenium.common.exceptions import TimeoutException
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

WIDE, NARROW = 1280, 390  # px
FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]
# one of a module that is not public, or a name that begins with an underscore
PRIVATE = re.compile(r"\bxpatch\.(?!torch\b)[a-z_]+\.[a-z_]\w*|(?<![\w.])_[a-z]\w*\(|\w\._[a-z]\w*")
LOADED = "return document.readyState === 'complete' && !!document.querySelector('article')"

# What a page says of itself: how wide it is, which pictures are missing, its links, and its text
LOOK = """
for (const picture of document.images) picture.loading = 'eager';
await Promise.all([...document.images].map(picture => picture.decode().catch(() => null)));
return {
  broken: [...document.images].filter(i => !i.naturalWidth).map(i => i.src),
  links: [...document.querySelectorAll('a[href]')].map(a => a.href),
  anchors: [...document.querySelectorAll('[id]')].map(e => e.id),
  text: (document.querySelector('article') || document.body).innerText,
};
"""
# By how much the page is wider than the screen: furo hides what the page has too much, or lets a part scroll
OVER = """
return [...document.querySelectorAll('html, .page, .main, .content')]
  .map(part => [part.className || 'html', part.scrollWidth - part.clientWidth])
  .filter(([part, by]) => by > 1);
"""


class Server(ThreadingHTTPServer):
    """Lets many wait, as a page with its scripts and pictures does on a busy machine."""

    request_queue_size = 128


class Quiet(SimpleHTTPRequestHandler):
    """Serves files and says nothing; connections are kept, as a page has many files."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass


def served(root: Path) -> str:
    """Serve a folder on a free port until the process ends; give the address."""
    handler = functools.partial(Quiet, directory=str(root))
    server = Server(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}/"


def browser(profile: str) -> webdriver.Chrome:
    """Start Chromium with a profile of its own."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not driver:
        sys.exit("chromium and chromedriver are missing: apt-get install chromium chromium-driver")
    options = Options()
    options.binary_location = chromium
    for flag in [*FLAGS, f"--user-data-dir={profile}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return webdriver.Chrome(options, Service(driver))


def resize(driver: webdriver.Chrome, width: int) -> None:
    """Set the size of the page, also below that of the smallest window."""
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def look(driver: webdriver.Chrome, url: str) -> tuple[dict, list[str]]:
    """Open a page; give what it says, and what is wrong with it alone."""
    resize(driver, WIDE)
    driver.get(url)
    try:
        WebDriverWait(driver, 20).until(lambda d: d.execute_script(LOADED))
    except TimeoutException:
        return {"links": [], "anchors": [], "text": ""}, ["did not load"]
    said = driver.execute_script(LOOK)
    wrong = [f"picture is missing: {src}" for src in said["broken"]]
    for width in (WIDE, NARROW):
        resize(driver, width)
        over = driver.execute_script(OVER)
        wrong += [f"scrolls sideways at {width} px, by {by} px: {part}" for part, by in over]
    errors = [e["message"] for e in driver.get_log("browser") if e["level"] == "SEVERE"]
    # MathJax comes from elsewhere, which the machine of the tests may not reach
    return said, wrong + [e for e in errors if not e.startswith("https://")]


def dead_links(pages: dict[str, dict], root: Path, base: str) -> list[str]:
    """Give the links within the site that lead to no file, or no place on a page."""
    wrong = []
    for page, said in pages.items():
        for link in {u for u in said["links"] if u.startswith(base)}:
            parts = urlsplit(link)
            path = unquote(parts.path).lstrip("/") or "index.html"
            place = unquote(parts.fragment)
            if not (root / path).exists():
                wrong.append(f"{page}: no file {path}")
            elif place and path in pages and place not in pages[path]["anchors"]:
                wrong.append(f"{page}: no place #{place} on {path}")
    return wrong


def search_finds(driver: webdriver.Chrome, base: str, word: str) -> list[str]:
    """Type a word where the front page has its search, and wait for results."""
    driver.get(base + "index.html")
    field = driver.find_element(By.CSS_SELECTOR, "form.front-search input")
    field.send_keys(word)
    field.submit()
    try:
        WebDriverWait(driver, 15).until(
            lambda d: d.find_elements(By.CSS_SELECTOR, "#search-results ul.search li a")
        )
    except TimeoutException:
        return [f"the search does not find {word!r}"]
    return []


def theme_turns(driver: webdriver.Chrome, base: str) -> list[str]:
    """Press the switch of the theme until the page is dark."""
    driver.get(base + "index.html")
    background = "return getComputedStyle(document.body).backgroundColor"
    seen = {driver.execute_script(background)}
    for _ in range(3):
        switch = [
            b
            for b in driver.find_elements(By.CSS_SELECTOR, "button.theme-toggle")
            if b.is_displayed()
        ]
        switch[0].click()
        seen.add(driver.execute_script(background))
    driver.execute_script("localStorage.clear()")
    return [] if len(seen) > 1 else ["the switch to dark colors does nothing"]


def shots(driver: webdriver.Chrome, base: str, folder: Path, pages: list[str]) -> None:
    """Take pictures of pages, wide, narrow and dark."""
    folder.mkdir(parents=True, exist_ok=True)
    for width in (WIDE, NARROW):
        resize(driver, width)
        for page in pages:
            driver.get(base + page)
            driver.execute_script(LOOK)
            driver.save_screenshot(str(folder / f"{page.replace('/', '-')[:-5]}-{width}.png"))
    resize(driver, WIDE)
    for page in pages:
        driver.get(base + page)
        driver.execute_script("document.body.dataset.theme = 'dark'")
        driver.save_screenshot(str(folder / f"{page.replace('/', '-')[:-5]}-dark.png"))


def checked(driver: webdriver.Chrome, root: Path, base: str) -> list[str]:
    """Open all pages; give what is wrong."""
    names = sorted(p.relative_to(root).as_posix() for p in root.rglob("*.html"))
    names = [n for n in names if not n.startswith(("_modules/", "_static/"))]
    pages, wrong = {}, []
    for name in names:
        pages[name], own = look(driver, base + name)
        if name == "api.html" or name.startswith("generated/"):
            own += [f"not a public name: {m}" for m in PRIVATE.findall(pages[name]["text"])]
        wrong += [f"{name}: {w}" for w in own]
    resize(driver, WIDE)
    print(f"{len(names)} pages, {sum(len(p['links']) for p in pages.values())} links")
    wrong += dead_links(pages, root, base)
    return wrong + search_finds(driver, base, "CORDEX") + theme_turns(driver, base)


def main() -> None:
    """Check the folder that is named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("html", type=Path, help="the folder that sphinx-build wrote")
    parser.add_argument("--shots", type=Path, help="folder for pictures of some pages")
    arguments = parser.parse_args()
    root = arguments.html.resolve()
    if not (root / "index.html").exists():
        sys.exit(f"{root} has no index.html; build it first: sphinx-build -W docs {arguments.html}")
    base = served(root)
    with tempfile.TemporaryDirectory() as profile:
        driver = browser(profile)
        try:
            if arguments.shots:
                some = ["index", "gallery", "api", "generated/xarray.DataArray.patch.split"]
                some += ["generated/xarray.DataArray.patch.anchors", "howto/climatology", "errors"]
                some += [
                    "scenes",
                    "which_call",
                    "glossary",
                    "howto/index",
                    "generated/xpatch.GeoSlice",
                ]
                shots(driver, base, arguments.shots, [f"{page}.html" for page in some])
            wrong = checked(driver, root, base)
        finally:
            driver.quit()
    print("\n".join(wrong) or "all well")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
