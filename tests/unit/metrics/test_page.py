"""The page: all sources' shares put together, written once a format."""

from __future__ import annotations

import gzip

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text
from support.model_harness import told
from support.rows import attempt, status, task, workflow

from parsl_exporter.base.formats import Format
from parsl_exporter.metrics.page import Page

STORY = [workflow(), task(0, 'odd "app"\n'), attempt(0), status(0, "pending", 1)]


def page() -> Page:
    return told(STORY).draw()


def text(page: Page, *names: str, format: Format = Format.TEXT) -> str:
    if names:
        return page.selection(frozenset(names), format).decode()
    return page.body(format).decode()


def families(body: str) -> list[str]:
    return [line.split()[2] for line in body.splitlines() if line.startswith("# TYPE")]


def test_both_text_formats_hold_the_same_families_each_once() -> None:
    one = page()
    in_text = {f.name for f in read_text(text(one))}
    found = read_openmetrics(text(one, format=Format.OPENMETRICS))  # type: ignore[no-untyped-call]  # as it ships
    in_openmetrics = {f.name for f in found}
    assert in_text == in_openmetrics
    assert len(families(text(one))) == len(set(families(text(one)))) == len(in_text)


def test_a_family_without_a_sample_is_left_out() -> None:
    assert "parsl_workflow_end_timestamp_seconds" not in text(page())


def test_openmetrics_ends_with_its_end_mark() -> None:
    assert text(page(), format=Format.OPENMETRICS).endswith("\n# EOF\n")
    assert text(page(), "parsl_tasks", format=Format.OPENMETRICS).endswith("\n# EOF\n")
    assert text(page(), "nothing", format=Format.OPENMETRICS) == "# EOF\n"


def test_a_page_is_written_once_a_format() -> None:
    one = page()
    for format in Format:
        for gzipped in (False, True):
            body = one.body(format, gzipped=gzipped)
            assert one.body(format, gzipped=gzipped) is body


def test_gzip_holds_the_same_page() -> None:
    one = page()
    for format in Format:
        plain = one.body(format)
        assert gzip.decompress(one.body(format, gzipped=True)) == plain
        chosen = frozenset({"parsl_tasks"})
        assert gzip.decompress(one.selection(chosen, format, gzipped=True)) == one.selection(chosen, format)


@pytest.mark.parametrize(
    "name",
    [
        "parsl_task_duration_seconds",
        "parsl_task_duration_seconds_bucket",
        "parsl_task_duration_seconds_count",
        "parsl_task_duration_seconds_sum",
        "parsl_task_duration_seconds_created",
    ],
)
def test_a_family_is_selected_by_the_name_of_any_of_its_samples(name: str) -> None:
    assert families(text(page(), name)) == ["parsl_task_duration_seconds"]


def test_a_counter_is_selected_with_and_without_total() -> None:
    for name in ("parsl_task_transitions_total", "parsl_task_transitions"):
        assert families(text(page(), name)) == ["parsl_task_transitions_total"]
        assert families(text(page(), name, format=Format.OPENMETRICS)) == ["parsl_task_transitions"]


def test_what_other_collectors_hold_is_on_the_page_and_selected_by_family() -> None:
    others = {
        "python_info": b"python_info 1\n",
        "process_cpu_seconds_total": b"process_cpu_seconds_total 2\n",
    }
    one = Page([], None, lambda format: others)
    assert one.body(Format.TEXT) == b"".join(others.values())
    assert text(one, "python_info") == "python_info 1\n"
    for name in ("process_cpu_seconds_total", "process_cpu_seconds"):
        assert text(one, name) == "process_cpu_seconds_total 2\n"


def test_what_counts_since_the_run_began_says_so() -> None:
    created = [
        line
        for line in text(page(), format=Format.OPENMETRICS).splitlines()
        if "parsl_task_transitions_created" in line
    ]
    assert created
    assert all(line.endswith(" 1767614400") for line in created)
