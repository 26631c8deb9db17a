"""How the oracle reads a page, and tells two apart."""

import pytest
from oracle import Histogram, Series, differences, parse

TEXT = r"""# HELP parsl_tasks_total Some \\ help.
# TYPE parsl_tasks_total counter
parsl_tasks_total{app="a\"b\\\n}"} 3
# HELP wait Help.
# TYPE wait histogram
wait_bucket{app="a",le="0.5"} 1
wait_bucket{app="a",le="+Inf"} 2
wait_sum{app="a"} 7.5
wait_count{app="a"} 2
"""
OPEN = r"""# HELP parsl_tasks Some help.
# TYPE parsl_tasks counter
parsl_tasks_total{app="a\"b\\\n}"} 3.0
parsl_tasks_created{app="a\"b\\\n}"} 1.7e+09
# HELP wait Help.
# TYPE wait histogram
wait_bucket{app="a",le="0.5"} 1.0 # {task_id="7"} 0.25
wait_bucket{app="a",le="+Inf"} 2.0
wait_sum{app="a"} 7.5
wait_count{app="a"} 2.0
# EOF
"""


@pytest.mark.parametrize("page", [TEXT, OPEN])
def test_both_formats_are_read_alike(page: str) -> None:
    assert parse(page) == {
        "parsl_tasks_total": {frozenset({("app", 'a"b\\\n}')}): 3.0},
        "wait": {frozenset({("app", "a")}): Histogram(((0.5, 1), (float("inf"), 2)), 7.5, 2)},
    }


@pytest.mark.parametrize("fault", ["wait_sum", 'wait_bucket{app="a",le="+Inf"}'])
def test_an_incomplete_histogram_is_refused(fault: str) -> None:
    page = "".join(line for line in TEXT.splitlines(keepends=True) if not line.startswith(fault))
    with pytest.raises(ValueError, match="incomplete"):
        parse(page)


def test_a_series_that_stands_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        parse('# TYPE a gauge\na{b="c"} 1\na{b="c"} 1\n')


def test_every_difference_is_named() -> None:
    def gauges(family: str, **values: float) -> Series:
        return {family: {frozenset({("app", app)}): value for app, value in values.items()}}

    wanted, found = gauges("parsl_tasks", a=1, b=1, d=1), gauges("parsl_tasks", a=1 + 1e-12, c=1, d=2)
    assert differences(wanted, found) == [
        "missing: parsl_tasks{app='b'} 1",
        "surplus: parsl_tasks{app='c'} 1",
        "differs: parsl_tasks{app='d'} is 2, expected 1",
    ]
    assert differences(wanted, found, families=["parsl_blocks"]) == []
    assert differences({}, gauges("parsl_exporter_series", a=1)) == []
    assert differences({}, gauges("parsl_other", a=1)) == ["surplus: parsl_other{app='a'} 1"]
    began = gauges("parsl_workflow_start_timestamp_seconds", a=1795000000.000001)
    assert differences(began, gauges("parsl_workflow_start_timestamp_seconds", a=1795000000.000002)) != []
