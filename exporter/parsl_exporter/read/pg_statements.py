"""The statements of the PostgreSQL reader.

A `LATERAL (... OFFSET 0)` is planned by itself, with the outer row as a parameter: a range of places becomes a TID
range scan and a key an index scan, whatever the planner thinks of the table. psycopg wants `%` doubled.
"""

from __future__ import annotations

from collections.abc import Sequence

from parsl_exporter.tables import BLOCK, NODE, Table

STATE = """
SELECT c.relname, c.oid, c.relkind = 'r' AND a.amname = 'heap', pg_relation_filenode(c.oid), pg_relation_size(c.oid),
       pg_stat_get_tuples_updated(c.oid) + pg_stat_get_tuples_deleted(c.oid), pg_stat_get_tuples_inserted(c.oid),
       has_table_privilege(c.oid, 'SELECT'), pg_current_snapshot()::text
FROM unnest(%s::text[]) AS n JOIN pg_class c ON c.oid = to_regclass(quote_ident(n)) LEFT JOIN pg_am a ON a.oid = c.relam
"""
"""Of tables by name: all that tells of a change."""

COLUMNS = """
SELECT c.relname, array_agg(a.attname::text), current_setting('block_size')::int, max(c.reltuples)
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.oid = ANY(%s::oid[]) GROUP BY c.relname
"""

_ORDER = {BLOCK: "(extract(epoch FROM s.timestamp) * 1000000)::bigint", NODE: "s.id"}
"""What orders the rows of a block and of a manager; other rows need no order."""
_RANGES = "unnest(%(low)s::tid[], %(high)s::tid[]) AS r(low, high)"
_IN_RANGE = "s.ctid >= r.low AND s.ctid < r.high"


def columns(table: Table, present: frozenset[str]) -> list[str]:
    """The values of a `Row` of this table, as SQL over `s`."""
    return [_ORDER.get(table, "0"), *(f's."{c}"' if c in present else "NULL" for c in table.columns)]


def of_places(table: Table, values: Sequence[str], condition: str) -> str:
    """Rows of the ranges of places `low`, `high`; NULLs where `condition` fails.

    After the row: its place, its bytes, whether the condition holds, and the table's file (of the table `oid`)
    while the statement holds it.
    """
    names = [f"c{i}" for i in range(len(values))]
    inner = ", ".join(f"{value} AS {name}" for value, name in zip(values, names, strict=True))
    shown = names if condition == "true" else [f"CASE WHEN ours THEN {name} END" for name in names]
    return (
        f"SELECT {', '.join(shown)}, tidsend(tid), size, ours, (SELECT pg_relation_filenode(%(oid)s::oid))"
        f" FROM {_RANGES} CROSS JOIN LATERAL"
        f" (SELECT s.ctid AS tid, pg_column_size(s.*) AS size, {condition} AS ours, {inner}"
        f' FROM ONLY "{table.name}" AS s WHERE {_IN_RANGE} OFFSET 0) AS t'
    )


def of_pages(table: Table, values: Sequence[str], condition: str) -> str:
    """Rows of the ranges `low`, `high` that fulfil the condition, and after each its place and its transaction."""
    return (
        f"SELECT t.* FROM {_RANGES} CROSS JOIN LATERAL"
        f" (SELECT {', '.join(f'{v} AS c{i}' for i, v in enumerate(values))}, tidsend(s.ctid), s.xmin::text"
        f' FROM ONLY "{table.name}" AS s WHERE {_IN_RANGE} AND {condition} OFFSET 0) AS t'
    )


def by_key(table: Table, values: Sequence[str], keys: Sequence[tuple[str, str]]) -> str:
    """Rows whose columns `keys` (name, type) have the values at one index of the arrays of the same names."""
    arrays = ", ".join(f"%({name})s::{kind}[]" for name, kind in keys)
    equal = " AND ".join(f"s.{name} = k.{name}" for name, _ in keys)
    return (
        f"SELECT t.* FROM unnest({arrays}) AS k({', '.join(name for name, _ in keys)}) CROSS JOIN LATERAL"
        f" (SELECT {', '.join(f'{v} AS c{i}' for i, v in enumerate(values))}, tidsend(s.ctid)"
        f' FROM ONLY "{table.name}" AS s WHERE {equal} OFFSET 0) AS t'
    )


def writers(table: Table) -> str:
    """Of the pages from `low` to `high`: the newest stamp, and the runs that wrote since `stamp`."""
    return (
        f"SELECT max(s.{table.stamp})::text, array_agg(DISTINCT s.run_id) FILTER (WHERE s.{table.stamp} >= "
        f'%(stamp)s::timestamp) FROM ONLY "{table.name}" AS s'
        " WHERE s.ctid >= %(low)s::tid AND s.ctid < %(high)s::tid"
    )
