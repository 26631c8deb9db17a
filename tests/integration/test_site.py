"""The documentation as a site: what pages lead to is there, and a browser asks no other host for anything."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

import pytest
import yaml
from support.browser import document
from support.exporter_process import ROOT
from support.processes import required

pytestmark = [pytest.mark.integration, pytest.mark.stack]

SOURCES = (
    "docs",
    "config",
    "mkdocs.yml",
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "SECURITY.md",
    "LICENSE",
    "pyproject.toml",
)
WIDTHS = (390, 1280)
"""Of a phone's and of a desk's window."""
MEASURE = """
<script>
function measure(frame) {
  const room = frame.contentDocument.documentElement;
  const told = `[${frame.getAttribute("src")} ${frame.width}: ${room.scrollWidth} of ${room.clientWidth}]`;
  document.body.insertAdjacentText("beforeend", told);
}
</script>
"""


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *_: object) -> None:
        """Say nothing of requests."""


class Html(HTMLParser):
    """A page of the site: its anchors, where its links lead, what it has a browser fetch, and its running text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.anchors: set[str] = {""}
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.prose: list[str] = []
        self._open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif tag == "link" and given.get("rel") not in ("prev", "next", "canonical"):
            self.fetched.append(given["href"])
        self.fetched += [given[name] for name in ("src", "srcset", "poster", "data") if name in given]
        if tag in ("p", "pre", "code"):
            self._open.append(tag)
            if tag == "p":
                self.prose.append("")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("p", "pre", "code") and self._open:
            self._open.pop()

    def handle_data(self, data: str) -> None:
        if self._open == ["p"]:
            self.prose[-1] += data


def built(checkout: Path, site: Path) -> subprocess.CompletedProcess[str]:
    """What MkDocs says of a checkout."""
    return subprocess.run(
        [required("mkdocs"), "build", "--config-file", checkout / "mkdocs.yml", "--site-dir", site],
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = built(ROOT, folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[str, Html]:
    return {
        path.relative_to(site).as_posix(): Html(path.read_text(encoding="utf-8"))
        for path in sorted(site.rglob("*.html"))
    }


def test_every_page_of_the_documentation_is_one_of_the_site(pages: dict[str, Html]) -> None:
    names = {path.stem for path in (ROOT / "docs").glob("*.md")}
    assert {f"{name}.html" for name in names} <= pages.keys()
    assert {"index.html", "contributing.html", "changelog.html", "security.html"} <= pages.keys()


def _appended(name: str, text: str) -> Callable[[Path], object]:
    def change(checkout: Path) -> None:
        page = checkout / name
        page.write_text(f"{page.read_text() if page.is_file() else ''}\n\n{text}\n")

    return change


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (_appended("docs/hpc.md", "[x](nowhere.md)"), "nowhere.md"),
        (_appended("docs/hpc.md", "[x](../config/nowhere.yml)"), "config/nowhere.yml"),
        (_appended("README.md", "[x](docs/nowhere.md)"), "nowhere.md"),
        (_appended("docs/hpc.md", "[x](runbooks.md#nowhere)"), "#nowhere"),
        (_appended("docs/hpc.md", "[x](#nowhere)"), "#nowhere"),
        (_appended("docs/hpc.md", "![x](nowhere.png)"), "nowhere.png"),
        (_appended("docs/new.md", "# A page that no menu has"), "new.md"),
    ],
    ids=["page", "file", "from README", "anchor", "own anchor", "picture", "menu"],
)
def test_what_leads_nowhere_or_is_led_to_by_nothing_is_refused(
    change: Callable[[Path], object], told: str, tmp_path: Path
) -> None:
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    for name in SOURCES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, checkout / name)
    change(checkout)
    done = built(checkout, tmp_path / "site")
    assert done.returncode != 0
    warnings = done.stderr.split("WARNING")[1:]
    assert len(warnings) == 1 and told in warnings[0], done.stderr


def test_every_link_and_anchor_within_the_site_is_there(site: Path, pages: dict[str, Html]) -> None:
    lost = []
    for name, page in pages.items():
        if name == "404.html":  # is shown at any depth, and so has addresses that begin with /
            continue
        for link in page.links:
            parts = urlsplit(urljoin(name, link))
            if parts.scheme:
                continue
            target = unquote(parts.path)
            target = "index.html" if target in ("", ".") else target
            there = (site / target).is_file()
            if not there or (target in pages and unquote(parts.fragment) not in pages[target].anchors):
                lost.append(f"{name}: {link}")
    assert lost == []


def test_pages_have_a_browser_fetch_what_is_there_and_nothing_from_elsewhere(
    site: Path, pages: dict[str, Html]
) -> None:
    fetched = {
        (name, one) for name, page in pages.items() for one in page.fetched if not one.startswith("data:")
    }
    assert fetched
    for name, one in fetched:
        parts = urlsplit(urljoin(f"/{name}", one))
        assert not parts.netloc, f"{name} asks {one}"
        assert (site / unquote(parts.path).lstrip("/")).is_file(), f"{name}: {one}"
    for sheet in site.rglob("*.css"):
        for url in re.findall(r"url\(([^)]*)\)|@import ([^;]*);", sheet.read_text(encoding="utf-8")):
            assert "".join(url).strip("\"'").startswith("data:"), f"{sheet.name} asks {url}"


def test_each_alert_leads_to_its_section(pages: dict[str, Html]) -> None:
    groups = yaml.safe_load((ROOT / "config" / "rules" / "alerts.yml").read_text())["groups"]
    links: list[Any] = [rule["annotations"]["runbook_url"] for group in groups for rule in group["rules"]]
    anchors = {link.partition("#")[2] for link in links}
    assert len(anchors) > 10
    assert anchors <= pages["runbooks.html"].anchors


def test_lists_and_tables_are_not_taken_for_running_text(pages: dict[str, Html]) -> None:
    """A forge begins a list in the midst of a paragraph; the site's Markdown needs an empty line before it."""
    mistaken = [
        f"{name}: {text[:80]}"
        for name, page in pages.items()
        for text in page.prose
        if re.search(r"^ *(?:[-*] |\d+\. |\||```)", text.strip(), re.MULTILINE)
    ]
    assert mistaken == []


def test_no_page_is_wider_than_its_window(site: Path, pages: dict[str, Html], tmp_path: Path) -> None:
    shown = [(name, width) for name in pages if name != "404.html" for width in WIDTHS]
    frames = "\n".join(
        f"<iframe src='{name}' width='{width}' height='800' style='border: 0' onload='measure(this)'></iframe>"
        for name, width in shown
    )
    (site / "frames.htm").write_text(f"<!DOCTYPE html>{MEASURE}<body>{frames}</body>")
    with _served(site) as url:
        said = document(f"{url}/frames.htm", tmp_path)
    found = re.findall(r"\[(\S+) (\d+): (\d+) of (\d+)\]", said)
    assert sorted((name, int(width)) for name, width, *_ in found) == sorted(shown)
    assert [one for one in found if int(one[2]) > int(one[3])] == []


@contextmanager
def _served(folder: Path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
