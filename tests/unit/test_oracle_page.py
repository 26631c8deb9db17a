"""How the oracle reads a page, and tells two apart."""

import pytest
from support.oracle import Exemplar, Histogram, Series, Summary, differences, parse

TEXT = r"""# HELP parsl_tasks_total Some \\ help.
# TYPE parsl_tasks_total counter
parsl_tasks_total{app="a\"b\\\n}"} 3
# HELP wait Help.
# TYPE wait histogram
wait_bucket{run_id="r",le="0.5"} 1
wait_bucket{run_id="r",le="+Inf"} 2
wait_sum{run_id="r"} 7.5
wait_count{run_id="r"} 2
# HELP parsl_took Help.
# TYPE parsl_took summary
parsl_took{run_id="r",quantile="0.5"} 1
parsl_took{run_id="r",quantile="1.0"} 2.5
"""
OPEN = r"""# HELP parsl_tasks Some help.
# TYPE parsl_tasks counter
parsl_tasks_total{app="a\"b\\\n}"} 3.0
parsl_tasks_created{app="a\"b\\\n}"} 1.7e+09
# HELP wait Help.
# TYPE wait histogram
wait_bucket{run_id="r",le="0.5"} 1.0 # {run_id="r",task_id="7",try_id="1"} 0.25 1.5
wait_bucket{run_id="r",le="+Inf"} 2.0
wait_sum{run_id="r"} 7.5
wait_count{run_id="r"} 2.0
# HELP parsl_took Help.
# TYPE parsl_took summary
parsl_took{run_id="r",quantile="0.5"} 1.0
parsl_took{run_id="r",quantile="1.0"} 2.5
# EOF
"""


@pytest.mark.parametrize(("page", "exemplars"), [(TEXT, None), (OPEN, ((0.5, Exemplar(1.5, 7, 1, 0.25)),))])
def test_both_formats_are_read_alike(page: str, exemplars: tuple[tuple[float, Exemplar], ...] | None) -> None:
    of_run = frozenset({("run_id", "r")})
    assert parse(page) == {
        "parsl_tasks_total": {frozenset({("app", 'a"b\\\n}')}): 3.0},
        "wait": {of_run: Histogram(((0.5, 1), (float("inf"), 2)), 7.5, 2, exemplars)},
        "parsl_took": {of_run: Summary(((0.5, 1.0), (1.0, 2.5)))},
    }


@pytest.mark.parametrize(
    ("true", "told"),
    [
        ('{run_id="r",task_id="7",try_id="1"} 0.25', '{run_id="other",task_id="7",try_id="1"} 0.25'),
        ('{run_id="r",task_id="7",try_id="1"} 0.25', '{run_id="r",task_id="7"} 0.25'),
        ('parsl_took{run_id="r",quantile="0.5"} 1', 'parsl_took_count{run_id="r"} 1'),
    ],
)
def test_an_exemplar_that_is_no_try_and_a_summary_with_more_than_quantiles_are_refused(
    true: str, told: str
) -> None:
    assert true in OPEN
    with pytest.raises(ValueError, match="is no"):
        parse(OPEN.replace(true, told))


@pytest.mark.parametrize("fault", ["wait_sum", 'wait_bucket{run_id="r",le="+Inf"}'])
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
    key = frozenset({("app", "a")})
    near, far = ({"parsl_took": {key: Summary(((0.5, value), (1.0, 100.0)))}} for value in (100.9, 101.1))
    true: Series = {"parsl_took": {key: Summary(((0.5, 100.0), (1.0, 100.0)))}}
    assert differences(true, near) == []
    assert differences(true, far) != []
    assert differences(true, {"parsl_took": {key: Summary(((0.5, 100.0), (1.0, 100.1)))}}) != []
    seen = [
        {"parsl_w": {key: Histogram(((0.5, 1),), 0.25, 1, of)}}
        for of in (None, (), ((0.5, Exemplar(1.5, 7, 1, 0.25)),), ((0.5, Exemplar(1.5, 8, 1, 0.25)),))
    ]
    assert [[differences(one, other) == [] for other in seen] for one in seen] == [
        [True, True, True, True],
        [True, True, False, False],
        [True, False, True, False],
        [True, False, False, True],
    ]
    began = gauges("parsl_workflow_start_timestamp_seconds", a=1795000000.000001)
    assert differences(began, gauges("parsl_workflow_start_timestamp_seconds", a=1795000000.000002)) != []
