"""`parsl_exporter.status`: the runs of a database as text, as HTML for a notebook, and as values."""

from __future__ import annotations

import logging
from html.parser import HTMLParser
from pathlib import Path
from typing import assert_type

import pytest
from support.rows import attempt, block, status, task, workflow
from support.rows import write as write_database
from support.source_harness import CORPUS, unpacked

import parsl_exporter
from parsl_exporter.base.errors import ConfigurationError, NoSuchRun


class Read(HTMLParser):
    """What a browser makes of it: the text, and the tags, which must be closed in their order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text = ""
        self.tags: set[str] = set()
        self.open: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.open.append(tag)
        assert [name for name, _ in attrs] in ([], ["style"])

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("name", CORPUS)
def test_it_shows_the_runs_of_a_database_as_text_and_as_html(name: str, folder: Path) -> None:
    path = unpacked(folder / "monitoring.db", name)
    shown = parsl_exporter.status(path)
    assert_type(shown, parsl_exporter.Status)
    text, html = str(shown), Read(shown._repr_html_())
    assert html.tags <= {"pre", "span"}
    (source,) = shown.as_dict()["sources"]
    assert source["runs"]
    for run in source["runs"]:
        assert run["run_id"][:8] in html.text
        assert f"{run['run_id'][:8]}  " in text and run["verdict"] in text
    assert repr(shown) == text
    assert all(c.isprintable() for line in text.splitlines() for c in line)


def test_hostile_names_are_text(folder: Path) -> None:
    odd = "<script>alert(1)</script>&amp;\"'\x1b[31m\u202e\ufffe</pre>"
    story = [
        workflow(odd, workflow_name=odd, user=odd, host=odd, rundir=odd),
        task(0, app=odd, run=odd),
        attempt(0, executor=odd, history=odd, run=odd),
        block(odd, odd, 1, executor=odd, run=odd),
        status(0, odd, 1, run=odd),
    ]
    shown = parsl_exporter.status(write_database(folder / "monitoring.db", story), run="<script>")
    html = Read(shown._repr_html_())
    assert html.tags == {"pre", "span"}
    assert odd[: odd.index("\x1b")] in "".join(html.text.split("\n")).replace(" ", "")
    assert all(c.isprintable() or c == "\n" for c in shown._repr_html_())


def test_a_run_can_be_chosen_by_how_its_id_begins(folder: Path) -> None:
    path = write_database(folder / "monitoring.db", [workflow("run-1"), workflow("run-2", began=5)])
    assert [
        run["run_id"] for run in parsl_exporter.status(path, run="run-2").as_dict()["sources"][0]["runs"]
    ] == ["run-2"]
    with pytest.raises(NoSuchRun, match="there is no run whose id begins with run-3"):
        parsl_exporter.status(path, run="run-3")


def test_a_database_that_is_not_there_is_shown_as_such(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    logger = logging.getLogger("parsl_exporter")
    before = list(logger.handlers)  # the command's tests leave one
    shown = parsl_exporter.status(folder / "monitoring.db")
    assert str(shown).startswith(f"{folder}/monitoring.db: no such file")
    assert "no such file" in Read(shown._repr_html_()).text
    assert capfd.readouterr() == ("", "")
    assert logger.handlers == before
    with pytest.raises(ConfigurationError):
        parsl_exporter.status(str(folder / "*.db"))
