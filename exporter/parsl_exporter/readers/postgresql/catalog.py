"""Parsl's tables as a PostgreSQL server tells of them: what they are, whether rows were moved, changed or deleted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from parsl_exporter.base.errors import FaultReason, SourceFault, SourceReplaced
from parsl_exporter.base.tables import BLOCK, BY_NAME, NODE, RESOURCE, STATUS, TABLES, Table
from parsl_exporter.readers.postgresql import statements
from parsl_exporter.readers.postgresql.session import Session
from parsl_exporter.readers.schema import check_schema

APPENDED = frozenset({STATUS, RESOURCE, BLOCK, NODE})
"""Tables whose rows Parsl never updates."""
_PUT_AWAY = "have runs write to a new database (logging_endpoint of MonitoringHub), or drop its tables between two runs"


class _State(NamedTuple):
    """One table as the server tells of it. `file` changes when rows are moved."""

    oid: int
    plain: bool
    file: int
    bytes: int
    changed: int
    inserted: int
    readable: bool


_NONE = _State(0, False, 0, 0, 0, 0, False)


class Catalog:
    """The tables at the last look: `columns` is a `Row` of each as SQL; `estimates` their rows, roughly.

    `kinds`: the type of each column, by the number that the server gives it.

    `shown` names the database in messages.
    """

    def __init__(self, session: Session, shown: str) -> None:
        self.page_size = 8_192
        self.schema: dict[str, frozenset[str]] = {}
        self.columns: dict[str, list[str]] = {}
        self.kinds: dict[str, dict[str, int]] = {}
        self.estimates: dict[str, int] = {}
        self._session = session
        self._shown = shown
        self._states: dict[str, _State] = {}

    def kept(self) -> dict[str, Any]:
        """Give the tables as they were at the last look."""
        return {
            "page_size": self.page_size,
            "states": {name: tuple(state) for name, state in self._states.items()},
        }

    def resume(self, page_size: int, states: Mapping[str, tuple[Any, ...]]) -> None:
        """Take what another one has `kept` for the look before the next one."""
        self.page_size = page_size
        self._states = {name: _State(*state) for name, state in states.items()}

    def forget(self) -> None:
        """Take the tables for unknown: the server is another one."""
        self._states = {}

    def pages(self, table: Table) -> int:
        """The table's size."""
        return -(-self._states[table.name].bytes // self.page_size)

    def oid(self, table: Table) -> int:
        """The number by which the server knows the table."""
        return self._states[table.name].oid

    def check_file(self, table: Table, file: int) -> None:
        """Raise SourceReplaced when a statement found the table in another file than the last look."""
        if file != self._states[table.name].file:
            raise SourceReplaced(
                f"{self._shown}: {table.name} was rewritten (VACUUM FULL, TRUNCATE or a restore); reading it anew"
            )

    def look(self) -> str:
        """Look at the tables; give the snapshot of transactions at that moment."""
        found = self._session.fetch(statements.STATE, (list(BY_NAME),))
        before, states = self._states, {row[0]: _State(*row[1:8]) for row in found}
        made_anew = any(states.get(name, _NONE).oid != was.oid for name, was in before.items())
        if not before or made_anew or not self.schema:
            self._introspect(states)
            self._states = states
            if made_anew:
                raise SourceReplaced(f"{self._shown}: its tables were made anew; reading them anew")
        self._states = states
        for name, was in before.items():
            table, now = BY_NAME[name], states[name]
            self.check_file(table, was.file)
            if table in APPENDED and (was.changed != now.changed or was.inserted > now.inserted):
                raise SourceReplaced(
                    f"{self._shown}: rows of {table.name} were deleted or updated, or the server's statistics"
                    " were reset; reading it anew"
                )
        return str(found[0][8])

    def _introspect(self, states: Mapping[str, _State]) -> None:
        strange = sorted(name for name, state in states.items() if not state.plain)
        if strange:
            raise SourceFault(
                FaultReason.SCHEMA, f"{self._shown}: {', '.join(strange)}: no table that Parsl made"
            )
        hidden = sorted(name for name, state in states.items() if not state.readable)
        if hidden:
            raise SourceFault(
                FaultReason.UNREADABLE, f"{self._shown}: grant this role SELECT on {', '.join(hidden)}"
            )
        described = self._session.fetch(statements.COLUMNS, ([state.oid for state in states.values()],))
        schema = {row[0]: frozenset(row[1]) for row in described}
        check_schema(schema, self._shown, put_away=_PUT_AWAY)
        self.page_size = described[0][3]
        self.estimates = {row[0]: max(0, int(row[4])) for row in described}
        self.kinds = {row[0]: dict(zip(row[1], row[2], strict=True)) for row in described}
        self.schema = schema
        self.columns = {table.name: statements.columns(table, schema[table.name]) for table in TABLES}
