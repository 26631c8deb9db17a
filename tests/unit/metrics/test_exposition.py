"""Both formats, for every value and every label value; what is written is read back as it was."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text
from prometheus_client.samples import Sample

from parsl_exporter.metrics.exposition import header, lines, number
from parsl_exporter.metrics.family import Distribution, Family, Kind, Value
from parsl_exporter.model.exemplars import Exemplars
from parsl_exporter.model.sketch import sketch_of

DISTRIBUTION = Distribution((0.5, 20.0), (2, 0, 1), 21.25)


def family(kind: Kind, name: str = "parsl_thing", own: tuple[str, ...] = ("app",)) -> Family[None]:
    return Family(name, kind, "What it is.", own, lambda drawn: (), shared=("source",))


def written(kind: Kind, value: Value, label: str = "a", *, openmetrics: bool) -> str:
    name = "parsl_thing_total" if kind == "counter" else "parsl_thing"
    one = family(kind, name)
    text = lines(one, ("s",), [((label,), value)], openmetrics=openmetrics, created=1.5)
    return header(one, openmetrics=openmetrics) + text


def read(kind: Kind, value: Value, label: str = "a", *, openmetrics: bool) -> list[Sample]:
    text = written(kind, value, label, openmetrics=openmetrics)
    raw = text.encode("utf-8", "backslashreplace").decode()  # as the page does it
    reader: Callable[[str], Iterable[Metric]] = read_openmetrics if openmetrics else read_text
    found = reader(raw + "# EOF\n" if openmetrics else raw)
    (metric,) = found
    return list(metric.samples)


def test_text() -> None:
    assert written("gauge", 2.5, openmetrics=False) == (
        '# HELP parsl_thing What it is.\n# TYPE parsl_thing gauge\nparsl_thing{source="s",app="a"} 2.5\n'
    )
    assert written("counter", 2, openmetrics=False) == (
        "# HELP parsl_thing_total What it is.\n# TYPE parsl_thing_total counter\n"
        'parsl_thing_total{source="s",app="a"} 2\n'
    )
    assert written("histogram", DISTRIBUTION, openmetrics=False) == (
        "# HELP parsl_thing What it is.\n# TYPE parsl_thing histogram\n"
        'parsl_thing_bucket{source="s",app="a",le="0.5"} 2\n'
        'parsl_thing_bucket{source="s",app="a",le="20.0"} 2\n'
        'parsl_thing_bucket{source="s",app="a",le="+Inf"} 3\n'
        'parsl_thing_count{source="s",app="a"} 3\n'
        'parsl_thing_sum{source="s",app="a"} 21.25\n'
    )


def test_openmetrics_names_a_counter_without_total_and_says_since_when_it_counts() -> None:
    assert written("counter", 2, openmetrics=True) == (
        "# HELP parsl_thing What it is.\n# TYPE parsl_thing counter\n"
        'parsl_thing_total{source="s",app="a"} 2\nparsl_thing_created{source="s",app="a"} 1.5\n'
    )
    assert written("histogram", DISTRIBUTION, openmetrics=True).endswith(
        'parsl_thing_sum{source="s",app="a"} 21.25\nparsl_thing_created{source="s",app="a"} 1.5\n'
    )
    assert "_created" not in written("gauge", 2, openmetrics=True)


@pytest.mark.parametrize("openmetrics", [False, True], ids=["text", "openmetrics"])
def test_a_summary_is_quantiles_and_nothing_else(openmetrics: bool) -> None:
    assert written("summary", sketch_of(np.array([1.0, 2.0, 4.0])), openmetrics=openmetrics) == (
        "# HELP parsl_thing What it is.\n# TYPE parsl_thing summary\n"
        'parsl_thing{source="s",app="a",quantile="0.5"} 2\n'
        'parsl_thing{source="s",app="a",quantile="0.95"} 4\n'
        'parsl_thing{source="s",app="a",quantile="1.0"} 4\n'
    )
    samples = read("summary", sketch_of(np.array([1.0])), openmetrics=openmetrics)
    assert [sample.labels["quantile"] for sample in samples] == ["0.5", "0.95", "1.0"]


def test_openmetrics_names_the_try_of_a_bucket() -> None:
    found = Exemplars("r", np.array([[2, 1_500_000, 7, 1, np.float64(21.25).view(np.int64)]]))
    with_exemplar = DISTRIBUTION._replace(exemplars=found)
    plain, told = (
        written("histogram", one, openmetrics=True).splitlines() for one in (DISTRIBUTION, with_exemplar)
    )
    assert set(told) - set(plain) == {
        'parsl_thing_bucket{source="s",app="a",le="+Inf"} 3 # {run_id="r",task_id="7",try_id="1"} 21.25 1.5'
    }
    assert "# {" not in written("histogram", with_exemplar, openmetrics=False)


@settings(deadline=None)
@given(
    run_id=st.text(), task_id=st.integers(0, 2**63 - 1), us=st.integers(0, 2**50), value=st.floats(0, 1e300)
)
@example("6b7c0f3e-5d1f-4e57-9a51-0c5f7f0a3c11", 2**63 - 1, 1_795_334_290_203_988, 0.1)
@example("x" * 200, 7, 1_795_334_290_203_988, 0.1)
@example('\udcff\n"\\', 7, 1, 0.1)
def test_every_exemplar_is_read_back_as_it_was(run_id: str, task_id: int, us: int, value: float) -> None:
    found = Exemplars(run_id, np.array([[0, us, task_id, task_id, np.float64(value).view(np.int64)]]))
    samples = read("histogram", DISTRIBUTION._replace(exemplars=found), openmetrics=True)
    (exemplar,) = [sample.exemplar for sample in samples if sample.exemplar is not None]
    assert exemplar.value == value
    assert abs(float(str(exemplar.timestamp)) - us / 1e6) < 0.5e-6  # the parser cuts nanoseconds
    told = {"task_id": str(task_id), "try_id": str(task_id)}
    ordinary = re.fullmatch(r"[\w.:-]{1,36}", run_id, re.ASCII) is not None
    assert exemplar.labels in (told, told | {"run_id": run_id})
    assert sum(len(text) for pair in exemplar.labels.items() for text in pair) <= 128
    assert "run_id" in exemplar.labels or not ordinary


def test_a_family_without_labels() -> None:
    bare = replace(family("gauge", own=()), shared=())
    assert lines(bare, (), [((), 1)], openmetrics=False) == "parsl_thing 1\n"


def test_help_is_one_line() -> None:
    odd = replace(family("gauge"), help="a\\b\nc")
    assert header(odd, openmetrics=False).startswith("# HELP parsl_thing a\\\\b\\nc\n")


def assert_read_back(label: str, *, openmetrics: bool) -> None:
    (sample, *_) = read("gauge", 1, label, openmetrics=openmetrics)
    assert sample.labels["app"] == label.encode("utf-8", "backslashreplace").decode()
    # Prometheus' own parsers know these three escapes, and refuse a page with another.
    line = written("gauge", 1, label, openmetrics=openmetrics).encode("utf-8", "backslashreplace").decode()
    assert re.fullmatch(r'(?:[^"\\\n]|"(?:[^"\\\n]|\\[\\n"])*"|\n)*', line)


@pytest.mark.parametrize("openmetrics", [False, True], ids=["text", "openmetrics"])
@settings(deadline=None)
@given(label=st.text())
@example(label='"\\\n\r\t\0\x85\u2028}{,= # 1')
@example(label="\\n")
@example(label="x" * 10_000)
def test_every_string_is_a_valid_label_value(label: str, openmetrics: bool) -> None:
    assert_read_back(label, openmetrics=openmetrics)


@pytest.mark.parametrize("openmetrics", [False, True], ids=["text", "openmetrics"])
def test_what_utf_8_cannot_write_stands_escaped(openmetrics: bool) -> None:
    (sample, *_) = read("gauge", 1, "/runs/\udcff.db", openmetrics=openmetrics)
    assert sample.labels["app"] == "/runs/\\udcff.db"


@pytest.mark.parametrize("openmetrics", [False, True], ids=["text", "openmetrics"])
@settings(deadline=None)
@given(value=st.floats(allow_nan=False) | st.integers(-(2**70), 2**70))
def test_every_number_is_read_back_as_it_was(value: float, openmetrics: bool) -> None:
    (sample, *_) = read("gauge", value, openmetrics=openmetrics)
    assert float(sample.value) == float(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [(3, "3"), (3.0, "3"), (0.1 + 0.2, "0.30000000000000004"), (1795334290.203988, "1795334290.203988")],
)
def test_a_number_is_short_and_exact(value: float, text: str) -> None:
    assert number(value) == text


def test_infinity_and_nan_have_their_names() -> None:
    assert [number(v) for v in (math.inf, -math.inf, math.nan)] == ["+Inf", "-Inf", "NaN"]


@pytest.mark.parametrize("openmetrics", [False, True], ids=["text", "openmetrics"])
@settings(deadline=None)
@given(counts=st.lists(st.integers(0, 10**9), min_size=3, max_size=3))
def test_buckets_are_cumulative_and_agree_with_the_count(counts: list[int], openmetrics: bool) -> None:
    samples = read("histogram", Distribution((1.0, 2.0), counts, 5.0), openmetrics=openmetrics)
    by_name = {(sample.name, sample.labels.get("le")): sample.value for sample in samples}
    assert [by_name["parsl_thing_bucket", le] for le in ("1.0", "2.0", "+Inf")] == [
        counts[0],
        counts[0] + counts[1],
        sum(counts),
    ]
    assert by_name["parsl_thing_count", None] == sum(counts)
