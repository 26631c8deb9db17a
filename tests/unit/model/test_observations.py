"""What is observed of the tries of a run."""

from __future__ import annotations

import pickle

import numpy as np
from support.oracle import BYTES, SECONDS

from parsl_exporter.model.exemplars import Ends
from parsl_exporter.model.observations import Buckets, Observation, Observations


def test_what_was_drawn_is_not_kept() -> None:
    """It is made anew out of the rest, and a checkpoint is no larger for it."""
    observations = Observations("r", Buckets.of(SECONDS, BYTES))
    one = np.zeros(1, np.int64)
    groups = np.zeros(1, np.int32)
    observations.observe([Observation(0, groups, one, one + 5)], Ends(one, one, one), 1)
    kept = len(pickle.dumps(observations))
    drawn = observations.at(0, 0)
    assert len(pickle.dumps(observations)) <= kept
    assert pickle.loads(pickle.dumps(observations)).at(0, 0).histogram == drawn.histogram
