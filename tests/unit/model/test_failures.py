"""The class of exception that a try row tells of."""

from __future__ import annotations

import pytest

from parsl_exporter.model.failures import failure_class


@pytest.mark.parametrize(
    ("history", "found"),
    [
        ("ValueError('boom')", "ValueError"),
        ("  ValueError('boom')", "ValueError"),
        ("ValueError('boom')  ", "ValueError"),
        ("parsl.app.errors.BashExitFailure('job', 1)", "BashExitFailure"),
        ("a.b.Öffnungsfehler()", "Öffnungsfehler"),
        ("<class 'parsl.app.errors.BadStdStreamFile'>", "BadStdStreamFile"),
        ("<WorkerLost on node1>", "WorkerLost"),
        ("WorkerLost: on node1", "WorkerLost"),
        ("ValueError", "ValueError"),
        ("my-app.Error('x')", "my-app.Error"),
        ("my-app.Error: x", None),
        ("12 things went wrong", None),
        ("('x')", None),
        (" ", None),
        ("", None),
        (None, None),
    ],
)
def test_it_is_what_the_history_begins_with(history: str | None, found: str | None) -> None:
    assert failure_class(history) == found


def test_a_long_history_is_looked_at_no_further_than_a_name_may_reach() -> None:
    assert failure_class("x" * 1_000 + "('y')") == "x" * 1_000
