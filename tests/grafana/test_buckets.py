"""Every default bucket has a name, however its bound is spelled."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import pytest
from grafana import buckets
from prometheus_client.utils import floatToGoString

from parsl_exporter.config.settings import Settings


def spellings(bound: float) -> set[str]:
    """As Prometheus clients write it, as Prometheus 3 normalises it, and as one would."""
    client = str(floatToGoString(bound))  # type: ignore[no-untyped-call]  # prometheus_client's utils have no types
    return {client, repr(bound), f"{bound:.1f}", f"{bound:g}" if bound < 1e6 else str(int(bound))}


@pytest.mark.parametrize(
    ("bounds", "names"),
    [(Settings().buckets.seconds, buckets.SECONDS), (Settings().buckets.bytes, buckets.BYTES)],
    ids=["seconds", "bytes"],
)
def test_default_buckets_have_exactly_one_name(bounds: Sequence[float], names: Mapping[str, str]) -> None:
    found = []
    for bound in bounds:
        for spelling in spellings(bound):
            (name,) = (name for pattern, name in names.items() if re.search(pattern, spelling))
        found.append(name)
    assert [*found, "more"] == list(names.values())


def test_names_are_as_one_says_them() -> None:
    def name(names: Mapping[str, str], bound: str) -> str:
        return next(name for pattern, name in names.items() if re.search(pattern, bound))

    assert [name(buckets.SECONDS, b) for b in ("0.1", "300.0", "21600", "+Inf")] == [
        "0.1 s",
        "5 min",
        "6 h",
        "more",
    ]
    assert [name(buckets.BYTES, b) for b in ("1.6777216e+07", "1073741824")] == ["16 MiB", "1 GiB"]
