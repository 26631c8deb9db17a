"""The families of other collectors, in each format."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.parser import text_string_to_metric_families
from support.protobuf_reading import samples

from parsl_exporter.base.formats import Format
from parsl_exporter.metrics.collected import collected

REGISTRY = CollectorRegistry()
PlatformCollector(registry=REGISTRY)
ProcessCollector(registry=REGISTRY)


def named(text: bytes) -> list[str]:
    return [line.partition(" ")[0].partition("{")[0] for line in text.decode().splitlines()]


def test_text_is_what_the_client_library_writes() -> None:
    written = collected(REGISTRY, Format.TEXT)
    assert {"process_open_fds", "process_cpu_seconds_total", "python_info"} <= written.keys()
    assert named(b"".join(written.values())) == named(generate_latest(REGISTRY))


def test_openmetrics_lacks_the_end_mark_that_the_page_has() -> None:
    whole: bytes = generate_openmetrics(REGISTRY)  # type: ignore[no-untyped-call]  # as it ships
    written = b"".join(collected(REGISTRY, Format.OPENMETRICS).values())
    assert named(written) == named(whole.removesuffix(b"# EOF\n"))


def test_protobuf_says_the_same() -> None:
    found = {
        (name, frozenset(labels)): value
        for (name, labels), value in samples(b"".join(collected(REGISTRY, Format.PROTOBUF).values())).items()
    }
    text = b"".join(collected(REGISTRY, Format.TEXT).values()).decode()
    same = {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert found.keys() == same.keys()
    still = [
        key for key in same if key[0] in ("process_max_fds", "process_start_time_seconds", "python_info")
    ]
    assert [found[key] for key in still] == [same[key] for key in still]
