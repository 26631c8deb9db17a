"""The documentation and the code say the same of families; links lead to headings that a forge knows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import promql_parser as ast
import pytest
from docs.build import questions
from prometheus_client.parser import text_string_to_metric_families
from support.promql_labels import labels_of, nodes, scraped

from parsl_exporter.metrics.families import FAMILIES
from parsl_exporter.metrics.family import Family

ROOT = Path(__file__).parents[2]
METRICS = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^### `(\w+)`\n(.*?)(?=^##|\Z)", METRICS, re.MULTILINE | re.DOTALL))
LEFT_OUT = {"source"}
"""Labels that samples in the documentation do not show, as its introduction says."""


PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in (*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"))
}


def anchors(text: str) -> set[str]:
    """What forges call the headings of a page."""
    without_blocks = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", without_blocks, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_links_within_pages_lead_to_headings(page: str) -> None:
    """The site's own anchors are MkDocs's, and tests/integration/test_site.py looks at those."""
    lost = []
    for link, anchor in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", PAGES[page]):
        target = (ROOT / page).parent.joinpath(link).resolve().relative_to(ROOT).as_posix() if link else page
        if anchor not in anchors(PAGES[target]):
            lost.append(f"{link}#{anchor}")
    assert lost == []


def test_each_family_is_explained_and_asked_something() -> None:
    names = [family.name for family in FAMILIES]
    assert list(SECTIONS) == names
    assert list(questions()) == names


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_a_sample_in_the_documentation_has_the_name_and_the_labels_of_its_family(family: Family[Any]) -> None:
    blocks = re.findall(r"^```text\n(.*?)\n```$", SECTIONS[family.name], re.MULTILINE | re.DOTALL)
    assert len(blocks) == 1
    found = [one for metric in text_string_to_metric_families(f"{blocks[0]}\n") for one in metric.samples]
    given = scraped([family])
    assert found
    for sample in found:
        assert sample.labels.keys() | LEFT_OUT == given[sample.name] - {"job", "instance"} | LEFT_OUT


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_a_question_asks_of_its_family_and_names_labels_that_there_are(family: Family[Any]) -> None:
    expr = ast.parse(questions()[family.name]["expr"])
    labels_of(expr, scraped(FAMILIES))
    asked = {node.name for node in nodes(expr) if isinstance(node, ast.VectorSelector)}
    assert asked & scraped([family]).keys() - {"up", "process_start_time_seconds"}
