"""Which format a client gets, and whether compressed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.exposition import choose_encoder

from parsl_exporter.base.formats import Format
from parsl_exporter.web.negotiation import accepts_gzip, preferred_format

PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
PROTOBUF = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
PROMETHEUS_3_NATIVE = f"{PROTOBUF};q=0.7,{PROMETHEUS_3}"
"""With the feature native-histograms."""
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.mark.parametrize(
    "accept",
    [
        "",
        "*/*",
        "text/plain",
        PROMETHEUS_2,
        BROWSER,
        "application/openmetrics-text",
        "application/openmetrics-text;version=1.0.0;q=0.5",
        "nonsense",
        ",;,=;q",
    ],
)
def test_the_format_is_that_of_the_client_library(accept: str) -> None:
    assert preferred_format(accept).value == choose_encoder(accept)[1].partition("; escaping")[0]


@pytest.mark.parametrize(
    ("accept", "format"),
    [
        (PROMETHEUS_3, Format.OPENMETRICS),
        ("text/plain;q=0.5, application/openmetrics-text;q=0.6", Format.OPENMETRICS),
        ("text/plain;q=0.6, application/openmetrics-text;q=0.5", Format.TEXT),
        ("application/openmetrics-text;q=0", Format.TEXT),
        ("application/openmetrics-text;q=0, text/plain;q=0", Format.TEXT),
        ("application/openmetrics-text;q=nan", Format.TEXT),
        ("application/openmetrics-text;q=much", Format.TEXT),
        ("application/openmetrics-text; Q=1.000", Format.OPENMETRICS),
        ('Application/OpenMetrics-Text; version="1.0.0"', Format.OPENMETRICS),
        ("application/openmetrics-text;version=2.0.0, text/plain", Format.TEXT),
        ("application/openmetrics-text;version=0.0.1", Format.TEXT),
        ("application/*", Format.TEXT),
        (PROMETHEUS_3_NATIVE, Format.PROTOBUF),
        (PROTOBUF, Format.PROTOBUF),
        (PROTOBUF + ";q=0.5, application/openmetrics-text;q=0.6", Format.OPENMETRICS),
        (PROTOBUF + ";q=0", Format.TEXT),
        ("application/vnd.google.protobuf", Format.TEXT),
        (PROTOBUF.replace("delimited", "text"), Format.TEXT),
    ],
)
def test_the_format_follows_the_weights(accept: str, format: Format) -> None:
    assert preferred_format(accept) is format


@given(st.text())
def test_no_accept_header_is_too_strange(header: str) -> None:
    assert isinstance(preferred_format(header), Format)
    assert isinstance(accepts_gzip(header), bool)


@pytest.mark.parametrize(
    ("accept_encoding", "gzipped"),
    [
        ("gzip", True),
        ("deflate, gzip;q=0.5, *;q=0", True),
        ("GZIP", True),
        ("gzip;q=0", False),
        ("gzip;q=0.000", False),
        ("*", False),
        ("br", False),
        ("", False),
    ],
)
def test_which_clients_get_compressed_pages(accept_encoding: str, gzipped: bool) -> None:
    assert accepts_gzip(accept_encoding) is gzipped
