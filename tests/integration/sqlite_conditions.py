"""What a watched database is said to be."""

from __future__ import annotations

from support.source_harness import SourceHarness


def down(watched: SourceHarness, reason: str, says: str, polls: int) -> None:
    """It is down for that reason, says so on the page and on the landing page."""
    assert not watched.up()
    assert watched.errors() == {reason: polls}
    assert watched.condition.state == "down"
    assert watched.condition.message.startswith(f"{watched.path}: {says}")


def up(watched: SourceHarness) -> None:
    assert watched.up()
    assert watched.own("source_ready") == 1
    assert watched.condition == ("up", "up to date")
