"""When an exporter beside a workflow expects to be scraped: that decides whether it waits for it at the end."""

from __future__ import annotations

import pytest

from parsl_exporter.config.settings import Settings
from parsl_exporter.daemon.daemon import Daemon
from parsl_exporter.workflow.beside import _Seen


@pytest.mark.parametrize(
    ("scrapes", "expected"),
    [
        ([], float("-inf")),
        ([100.0], float("-inf")),
        ([100.0, 115.0], 130.0),
        ([100.0, 115.0, 130.0, 133.0], 148.0),  # somebody asked between two of Prometheus's
        ([0.0, 100.0, 105.0, 110.0, 115.0, 120.0], 125.0),  # as it goes now
    ],
)
def test_the_next_scrape_is_expected_as_the_last_ones_came(scrapes: list[float], expected: float) -> None:
    seen = _Seen(Daemon(Settings()))
    seen.scrapes.extend(scrapes)
    assert seen.next_scrape() == expected
