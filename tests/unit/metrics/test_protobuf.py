"""The protobuf exposition: what the text says, and native histograms."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from support.model_harness import Options, finished
from support.protobuf_reading import Key, messages, native, samples
from support.rows import attempt, status, task, workflow

from parsl_exporter.base.formats import Format
from parsl_exporter.metrics.family import Distribution, Family
from parsl_exporter.metrics.messages import COUNTER, GAUGE, HISTOGRAM
from parsl_exporter.metrics.page import Page
from parsl_exporter.metrics.protobuf import delimited, family_bytes, metric_bytes
from parsl_exporter.model.sketch import Sketches

OBSERVED = Family[None](
    "parsl_thing_seconds", "histogram", "Things.", ("app",), lambda _: [], shared=("source",)
)
STORY = [
    workflow(completed=100),
    *[
        row
        for i in range(40)
        for row in (
            task(i, 'odd "app"\n'),
            attempt(i),
            status(i, "pending", 1),
            status(i, "launched", 2),
            status(i, "running", 3),
            status(i, "exec_done", 3 + 1.3**i % 90),
        )
    ],
]


def distribution(*values: float, bounds: tuple[float, ...] = (1.0, 10.0)) -> Distribution:
    sketches = Sketches()
    sketches.observe(np.zeros(len(values), np.int32), np.array(values))
    counts = [sum(low < v <= high for v in values) for low, high in pairwise([-math.inf, *bounds, math.inf])]
    return Distribution(bounds, counts, sum(values), sketches.at(0))


def written(value: Distribution, **how: Any) -> bytes:
    return family_bytes(OBSERVED, [metric_bytes(OBSERVED, ("s",), [(("a",), value)], **how)])


def in_text(body: bytes) -> dict[Key, float]:
    """The samples of a text page, but for summaries: gauges there have the label of their quantile last, too."""
    return {
        (sample.name, tuple(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
    }


def page() -> Page:
    return finished(STORY, Options(close_after=0)).draw()


def normal(found: Mapping[Key, float]) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (name, frozenset((n, repr(float(v)) if n == "le" else v) for n, v in labels)): value
        for (name, labels), value in found.items()
    }


def test_a_page_says_what_its_text_says() -> None:
    one = page()
    assert normal(samples(one.body(Format.PROTOBUF))) == normal(in_text(one.body(Format.TEXT)))


def test_families_are_named_described_and_typed_as_in_text() -> None:
    one = page()
    text = [line.split(" ", 3)[1:] for line in one.body(Format.TEXT).decode().splitlines() if line[0] == "#"]
    kinds = {HISTOGRAM: "histogram", GAUGE: "gauge", COUNTER: "counter"}
    found = [["HELP", m.name, m.help] for m in messages(one.body(Format.PROTOBUF))]
    assert found == [line for line in text if line[0] == "HELP"]
    typed = [["TYPE", m.name, kinds[m.type]] for m in messages(one.body(Format.PROTOBUF))]
    assert typed == [[*line[:2], line[2].replace("summary", "gauge")] for line in text if line[0] == "TYPE"]


def test_a_summary_is_gauges_so_that_nothing_counts_falsely() -> None:
    names = {name for name, _ in samples(page().body(Format.PROTOBUF))}
    assert "parsl_task_summary_seconds" in names
    assert not {"parsl_task_summary_seconds_count", "parsl_task_summary_seconds_sum"} & names


def test_native_buckets_hold_each_value_within_a_tenth() -> None:
    values = [0.001, 0.5, 0.5001, 3.0, 100.0, 1e6]
    (found,) = native(written(distribution(*values))).values()
    assert sum(found.counts.values()) == len(values)
    for rank, value in enumerate(values, 1):
        assert value <= found.quantile(rank / len(values)) < value * 1.1


@given(st.lists(st.floats(1e-6, 1e12), min_size=1, max_size=60))
def test_native_buckets_hold_any_values(values: list[float]) -> None:
    (found,) = native(written(distribution(*values))).values()
    assert sum(found.counts.values()) == len(values)
    assert max(values) <= found.quantile(1.0) * (1 + 1e-12)
    assert found.quantile(1.0) < max(values) * 1.0906


def test_zeros_have_a_bucket_of_their_own() -> None:
    (found,) = native(written(distribution(0.0, 0.0, 2.0))).values()
    assert found.counts == {0.0: 2, 2.0: 1}


def test_a_histogram_without_a_value_is_native_all_the_same() -> None:
    """Prometheus takes one without buckets and zero bucket for a classic one (its docs, "Native Histograms")."""
    ((metric,),) = [m.metric for m in messages(written(Distribution((1.0,), [0, 0], 0.0)))]
    assert metric.histogram.HasField("schema") and metric.histogram.zero_threshold > 0


def test_neighbours_share_a_span_and_small_gaps_are_filled() -> None:
    ((metric,),) = [m.metric for m in messages(written(distribution(1.0, 1.0, 1.05, 1.3, 64.0)))]
    spans = [(span.offset, span.length) for span in metric.histogram.positive_span]
    assert spans == [(0, 5), (43, 1)]
    assert list(metric.histogram.positive_delta) == [2, -1, -1, 0, 1, 0]


def test_exemplars_are_those_of_the_openmetrics_page() -> None:
    one = page()
    text = one.body(Format.OPENMETRICS).decode()
    in_openmetrics = re.findall(r'# {run_id="(.*?)",task_id="(.*?)",try_id="(.*?)"} (\S+) (\S+)', text)
    for of in (
        lambda histogram: [bucket.exemplar for bucket in histogram.bucket if bucket.HasField("exemplar")],
        lambda histogram: histogram.exemplars,
    ):
        found = [
            (
                *(label.value for label in one.label),
                one.value,
                one.timestamp.seconds + one.timestamp.nanos / 1e9,
            )
            for family in messages(one.body(Format.PROTOBUF))
            for metric in family.metric
            for one in of(metric.histogram)
        ]
        assert found == [(*ids, float(value), float(at)) for *ids, value, at in in_openmetrics] != []


def test_classic_buckets_can_be_left_out() -> None:
    found = samples(written(distribution(0.5, 2.0), classic=False))
    assert {name for name, _ in found} == {"parsl_thing_seconds_count", "parsl_thing_seconds_sum"}


def test_what_counts_since_the_run_began_says_so() -> None:
    ((metric,),) = [m.metric for m in messages(written(distribution(2.0), created=1_767_614_400.25))]
    created = metric.histogram.created_timestamp
    assert (created.seconds, created.nanos) == (1_767_614_400, 250_000_000)


def test_a_label_that_is_not_utf_8_is_written_as_the_text_has_it() -> None:
    gauge = Family[None]("parsl_thing", "gauge", "", ("path",), lambda _: [], shared=())
    body = family_bytes(gauge, [metric_bytes(gauge, (), [(("/runs/\udcff.db",), 1)])])
    assert samples(body) == {("parsl_thing", (("path", "/runs/\\udcff.db"),)): 1}


@pytest.mark.parametrize(
    ("size", "length"), [(0, b"\x00"), (127, b"\x7f"), (128, b"\x80\x01"), (300, b"\xac\x02")]
)
def test_the_length_is_a_varint(size: int, length: bytes) -> None:
    assert delimited(b"x" * size) == length + b"x" * size
