"""The landing page and the page of a run in a real browser, without a script: on a phone, dark and light."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urljoin

import pytest
from support.browser import document
from support.exporter_process import Serving, serving, until
from support.source_harness import unpacked

pytestmark = [pytest.mark.integration, pytest.mark.stack]

NAMES = ("crash-2026.10.26", "std-2026.10.26", "unicode-2026.10.26")
MEASURE = """
<script>
const room = document.documentElement, style = getComputedStyle(room);
const heights = [...document.querySelectorAll(".state")].map((state) => state.getBoundingClientRect().height);
const tall = Math.ceil(Math.max(0, ...heights));
document.body.insertAdjacentText(
  "beforeend", `[states ${tall}, needs ${room.scrollWidth} of ${room.clientWidth}, ${style.color}]`);
</script>
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """An exporter on runs of long ago, which it is told to keep, and to hide who ran them."""
    folder = tmp_path_factory.mktemp("site")
    for name in NAMES:
        unpacked(folder / f"{name}.db", name)
    (folder / "exporter.yml").write_text(
        "{retention: 1000d, abandon_after: 1000d, sources: [{path: '*.db', hide_labels: [user, host, rundir]}]}"
    )
    with serving(folder, "--config.file", "exporter.yml") as exporter:
        until("ready", lambda: exporter.get("/-/ready")[0] == 200 or None)
        yield exporter


class Shown(HTMLParser):
    """The texts of a document and the targets of its links."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.targets: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.targets += [value or "" for name, value in attrs if name == "href"]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


def test_the_pages_say_what_runs_do(site: Serving, tmp_path: Path) -> None:
    landing = Shown(document(f"{site.url}/", tmp_path))
    assert re.search(
        r"silent since 2026-11-22 \d\d:56 UTC, for .*: crashed\? 6 pending, 2 launched", landing.text
    )
    assert "finished: 73 tasks done, 7 failed (tries: ValueError 4" in landing.text
    assert "htex: 4 of 4 busy on 2 managers" in landing.text
    runs = [target for target in landing.targets if "run=" in target]
    assert len(runs) == 4
    pages = [Shown(document(urljoin(f"{site.url}/", target), tmp_path)) for target in runs]
    assert "6 pending, 2 launched, 4 running left" in pages[0].text
    assert "quick 6 . . 20 slow . 2 4 ." in pages[0].text
    assert "<lambda> 4" in pages[-1].text
    for page in (landing, *pages):
        assert not re.search(r"\bof root\b|\bon vm\b", page.text)
    assert all("of hidden on hidden" in page.text for page in pages)


@pytest.fixture
def measured(site: Serving, tmp_path: Path) -> dict[str, str]:
    """The pages as files, which say how wide they are and what colour they have: theirs have no scripts."""
    landing = site.get("/")[1]
    pages = {"landing": landing}
    for i, target in enumerate(one for one in Shown(landing).targets if "run=" in one):
        pages[f"run-{i}"] = site.get(urljoin("/", target))[1]
    for name, html in pages.items():
        (tmp_path / f"{name}.html").write_text(html.replace("</body>", f"{MEASURE}</body>"))
    return {name: f"file://{tmp_path}/{name}.html" for name in pages}


def test_a_phone_shows_them_without_scrolling_sideways(measured: dict[str, str], tmp_path: Path) -> None:
    for name, url in measured.items():
        shown = document(url, tmp_path / "profile", "--window-size=390,800")
        found = re.search(r"\[states (\d+), needs (\d+) of (\d+), ", shown)
        assert found is not None
        assert int(found[2]) <= int(found[3]) <= 500, name
        assert int(found[1]) < 30, "a source's state is broken over lines, however long the name beside it"


def test_they_are_dark_where_the_browser_is_and_light_elsewhere(
    measured: dict[str, str], tmp_path: Path
) -> None:
    colours = []
    for scheme in ("0", "1"):
        shown = document(
            measured["run-0"],
            tmp_path / "profile",
            f"--blink-settings=preferredColorScheme={scheme}",
        )
        found = re.search(r", rgb\((\d+), (\d+), (\d+)\)\]", shown)
        assert found is not None
        colours.append(sum(map(int, found.groups())))
    dark, light = colours
    assert dark > 600
    assert light < 150
