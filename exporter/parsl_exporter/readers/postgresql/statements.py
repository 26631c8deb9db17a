"""The statements of the PostgreSQL reader.

A `LATERAL (... OFFSET 0)` is planned by itself, with the outer row as a parameter: a range of places becomes a TID
range scan and a key an index scan, whatever the planner thinks of the table. psycopg wants `%` doubled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from parsl_exporter.base.tables import BLOCK, NODE, RESOURCE, STATUS, TASK, TRY, Table
from parsl_exporter.readers.postgresql.heap import Place

Ranges: TypeAlias = Sequence[tuple[Place, Place]]

SEPARATOR = "\x1e"
"""Stands between names."""
HISTORY = 300
"""Characters of task_fail_history that come: it begins with the exception's class."""
_SEPARATOR = f"chr({ord(SEPARATOR)})"

STATE = """
SELECT c.relname, c.oid, c.relkind = 'r' AND a.amname = 'heap', pg_relation_filenode(c.oid), pg_relation_size(c.oid),
       pg_stat_get_tuples_updated(c.oid) + pg_stat_get_tuples_deleted(c.oid), pg_stat_get_tuples_inserted(c.oid),
       has_table_privilege(c.oid, 'SELECT'), pg_current_snapshot()::text
FROM unnest(%s::text[]) AS n JOIN pg_class c ON c.oid = to_regclass(quote_ident(n)) LEFT JOIN pg_am a ON a.oid = c.relam
"""
"""Of tables by name: all that tells of a change."""

COLUMNS = """
SELECT c.relname, array_agg(a.attname::text), array_agg(a.atttypid::bigint), current_setting('block_size')::int,
       max(c.reltuples)
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.oid = ANY(%s::oid[]) GROUP BY c.relname
"""

_ORDER = {BLOCK: "(extract(epoch FROM s.timestamp) * 1000000)::bigint", NODE: "s.id"}
"""What orders the rows of a block and of a manager; other rows need no order."""
_RANGES = "unnest(%(low)s::tid[], %(high)s::tid[]) AS r(low, high)"
_IN_RANGE = "s.ctid >= r.low AND s.ctid < r.high"


def bounds(ranges: Ranges) -> dict[str, list[str]]:
    """The parameters `low` and `high` of a statement."""
    return {"low": [str(low) for low, _ in ranges], "high": [str(high) for _, high in ranges]}


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


_BOOL, _INT8, _INT2, _INT4, _TEXT, _FLOAT8, _VARCHAR, _TIMESTAMP = 16, 20, 21, 23, 25, 701, 1043, 1114
"""Numbers of types in pg_type.dat, which never change."""
_INTEGER, _NAME, _NUMBER = (
    frozenset({_INT8, _INT2, _INT4}),
    frozenset({_TEXT, _VARCHAR}),
    frozenset({_INT8, _INT2, _INT4, _FLOAT8}),
)
_STAMPS = frozenset({_TIMESTAMP})
_Kinds: TypeAlias = frozenset[int]
_Aggregate: TypeAlias = Callable[[str], str]


def _integer(column: str) -> str:
    return f"string_agg(int8send({column}::int8), '')"


def _stamp(column: str) -> str:
    return f"string_agg(timestamp_send({column}), '')"


def _name(column: str) -> str:
    """NULL is as good as the empty text."""
    return f"string_agg(coalesce({column}, ''), {_SEPARATOR})"


def _beginning(column: str) -> str:
    return f"string_agg(coalesce(left({column}, {HISTORY}), ''), {_SEPARATOR})"


def _number(column: str) -> str:
    return f"string_agg(float8send(coalesce({column}::float8, 'NaN')), '')"


def _heartbeat(column: str) -> str:
    """NULL is as good as the row's stamp."""
    return f"string_agg(timestamp_send(coalesce({column}, t.timestamp)), '')"


_ID, _AT, _TEXTS = (_integer, _INTEGER), (_stamp, _STAMPS), (_name, _NAME)
_AGGREGATES: dict[str, Mapping[str, tuple[_Aggregate, _Kinds]]] = {
    TASK.name: {"task_id": _ID, "task_func_name": _TEXTS},
    TRY.name: {
        "task_id": _ID,
        "try_id": _ID,
        "task_executor": _TEXTS,
        "block_id": _TEXTS,
        "hostname": _TEXTS,
        "task_fail_history": (_beginning, _NAME),
    },
    STATUS.name: {"task_id": _ID, "try_id": _ID, "timestamp": _AT, "task_status_name": _TEXTS},
    RESOURCE.name: {
        "task_id": _ID,
        "try_id": _ID,
        "timestamp": _AT,
        **dict.fromkeys(RESOURCE.columns[4:], (_number, _NUMBER)),
    },
    NODE.name: {"id": _ID, "timestamp": _AT, "last_heartbeat": (_heartbeat, _STAMPS)},
}
_GROUPED = _NAME | _NUMBER | {_BOOL}
_KEYS = {NODE.name: NODE.columns[: NODE.columns.index("timestamp")]}


def in_columns(table: Table, kinds: Mapping[str, int], condition: str) -> str | None:
    """Rows of the ranges of places `low`, `high` put together: see `_together`."""
    return _together(table, kinds, condition, _RANGES, _IN_RANGE)


def in_columns_by_key(table: Table, kinds: Mapping[str, int], names: Sequence[str]) -> str | None:
    """Rows of certain keys put together: see `_together`."""
    return _together(table, kinds, "true", *_keys(names))


def _together(table: Table, kinds: Mapping[str, int], condition: str, given: str, chosen: str) -> str | None:
    """Rows put together, those of a run, of node rows all that are alike; `chosen` says which, in terms of `given`.

    Of each such group: the table's file, whether `condition` holds, how many rows; their places and bytes; the key;
    the other columns, put together in one order, of samples after the stamp how many rows have NaN. None when the
    table or the type of a column is none that can be put together so; `kinds` are the types of all.
    """
    aggregates = _AGGREGATES.get(table.name)
    if aggregates is None or kinds["run_id"] not in _NAME:
        return None
    keys = _KEYS.get(table.name, ("run_id",))
    if any(kinds[name] not in allowed for name, (_, allowed) in aggregates.items() if name in kinds):
        return None
    if any(kinds[name] not in _GROUPED for name in keys):
        return None
    values = [
        aggregate(f't."{name}"') if name in kinds else "NULL" for name, (aggregate, _) in aggregates.items()
    ]
    if table is RESOURCE:
        numbers = ", ".join(f't."{name}"' for name in RESOURCE.columns[4:] if name in kinds)
        values.insert(3, f"count(*) FILTER (WHERE 'NaN'::float8 IN ({numbers}))")
    if condition != "true":
        values = [value if value == "NULL" else _only_ours(value) for value in values]
    groups = [f'CASE WHEN ours THEN t."{name}" END' for name in keys]
    inner = ", ".join(f's."{name}"' for name in {**dict.fromkeys(keys), **aggregates} if name in kinds)
    return (
        "SELECT (SELECT pg_relation_filenode(%(oid)s::oid)), ours, count(*), string_agg(tidsend(tid), ''),"
        f" string_agg(int4send(size), ''), {', '.join(groups)}, {', '.join(values)}"
        f" FROM {given} CROSS JOIN LATERAL"
        f" (SELECT s.ctid AS tid, pg_column_size(s.*) AS size, coalesce({condition}, false) AS ours, {inner}"
        f' FROM ONLY "{table.name}" AS s WHERE {chosen} OFFSET 0) AS t'
        f" GROUP BY ours, {', '.join(groups)}"
    )


def _only_ours(aggregate: str) -> str:
    """The same of the rows that are ours, without the work for the others."""
    if aggregate.startswith("count(*)"):
        return aggregate
    return f"{aggregate} FILTER (WHERE ours)"


def of_pages(table: Table, values: Sequence[str], condition: str) -> str:
    """Rows of the ranges `low`, `high` that fulfil the condition, and after each its place and its transaction."""
    return (
        f"SELECT t.* FROM {_RANGES} CROSS JOIN LATERAL"
        f" (SELECT {', '.join(f'{v} AS c{i}' for i, v in enumerate(values))}, tidsend(s.ctid), s.xmin::text"
        f' FROM ONLY "{table.name}" AS s WHERE {_IN_RANGE} AND {condition} OFFSET 0) AS t'
    )


def key_parameters(names: Sequence[str], keys: Sequence[tuple[Any, ...]]) -> dict[str, object]:
    """The parameters of a statement by key; a key is run_id, then the integers `names`.

    psycopg looks at each element of a list: of a long one it is much cheaper to write the array out.
    """
    run_ids, *columns = zip(*keys, strict=True)
    places = {run_id: place for place, run_id in enumerate(dict.fromkeys(run_ids), 1)}
    arrays = {"run": [places[run_id] for run_id in run_ids], **dict(zip(names, columns, strict=True))}
    written = {name: "{" + ",".join(map(str, column)) + "}" for name, column in arrays.items()}
    return {"run_ids": list(places), **written}


def _keys(names: Sequence[str]) -> tuple[str, str]:
    """The keys as a table, and the condition of the rows that have one of them."""
    arrays = ", ".join(f"%({name})s::bigint[]" for name in ("run", *names))
    equal = "".join(f" AND s.{name} = k.{name}" for name in names)
    return (
        f"unnest({arrays}) AS k({', '.join(('run', *names))})",
        f"s.run_id = (%(run_ids)s::text[])[k.run]{equal}",
    )


def by_key(table: Table, values: Sequence[str], names: Sequence[str]) -> str:
    """Rows of certain keys, and after each its place."""
    keys, equal = _keys(names)
    return (
        f"SELECT t.* FROM {keys} CROSS JOIN LATERAL"
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
