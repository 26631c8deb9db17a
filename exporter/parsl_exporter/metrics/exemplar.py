"""The labels of an exemplar, in every format that has exemplars."""

from __future__ import annotations

import re

from parsl_exporter.model.exemplars import Exemplar

_LONGEST = 128
"""Characters that names and values of the labels may have together (OpenMetrics 1.0, "Exemplars"); here with what
stands between.
"""
_ORDINARY = re.compile(r"[A-Za-z0-9_.:-]+").fullmatch
"""Parsl's run_ids are so. prometheus_client's parser refuses an exemplar whose label needs an escape."""


def exemplar_labels(exemplar: Exemplar) -> tuple[tuple[str, str], ...]:
    """Give names and values. Of a run_id that has no room, or is odd, the bucket's own label tells."""
    run = ("run_id", exemplar.run_id)
    task = (("task_id", str(exemplar.task_id)), ("try_id", str(exemplar.try_id)))
    length = sum(len(f'{name}="{value}",') for name, value in (run, *task)) - 1
    return (run, *task) if length <= _LONGEST and _ORDINARY(exemplar.run_id) else task
