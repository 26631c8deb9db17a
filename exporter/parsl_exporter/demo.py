"""`demo`: a real Parsl workflow, and an exporter on its database."""

from __future__ import annotations


def demo(listen_address: str, duration: str | None) -> int:
    """Run until Ctrl-C or for `duration`; give the exit status."""
    raise NotImplementedError
