"""Which labels the series of a PromQL expression carry, found without running it.

A label that is misspelt in a selector, an aggregation or a match makes an expression that is valid and always empty.
`labels_of` follows the rules of Prometheus' engine for vector matching and raises LabelFault for such a one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import promql_parser as ast

Labels = frozenset[str]
TARGET = frozenset({"job", "instance"})
"""What Prometheus gives every scraped series."""

OF_PROMETHEUS = {"up": TARGET, "process_start_time_seconds": TARGET}
_SET_OPERATORS = {"and", "or", "unless"}


class LabelFault(Exception):
    """An expression asks for a series or a label that does not exist."""


def scraped(families: Iterable[Any]) -> dict[str, Labels]:
    """The labels of each series name that a scrape of these families gives (they have name, kind, labels)."""
    found: dict[str, Labels] = dict(OF_PROMETHEUS)
    for family in families:
        labels = frozenset(family.labels) | TARGET
        if family.kind == "histogram":
            found[f"{family.name}_bucket"] = labels | {"le"}
            found[f"{family.name}_sum"] = found[f"{family.name}_count"] = labels
        elif family.kind == "summary":
            found[family.name] = labels | {"quantile"}
        else:
            found[family.name] = labels
    return found


def nodes(expr: Any) -> Iterator[Any]:
    """An expression and all that it is made of."""
    found: list[Any] = []
    ast.walk(expr, found.append)
    return iter(found)


def labels_of(expr: Any, series: Mapping[str, Labels]) -> Labels | None:
    """The labels that the result may carry; None for a scalar. Raises LabelFault."""
    if isinstance(expr, ast.VectorSelector):
        return _selected(expr, series)
    if isinstance(expr, ast.MatrixSelector):
        return _selected(expr.vector_selector, series)
    if isinstance(expr, (ast.ParenExpr, ast.UnaryExpr, ast.SubqueryExpr)):
        return labels_of(expr.expr, series)
    if isinstance(expr, ast.AggregateExpr):
        return _aggregated(expr, series)
    if isinstance(expr, ast.Call):
        return _called(expr, series)
    if isinstance(expr, ast.BinaryExpr):
        left, right = labels_of(expr.lhs, series), labels_of(expr.rhs, series)
        if left is None or right is None:
            return left if right is None else right
        return _matched(expr, left, right)
    return None


def split_by(label: str, expr: Any, series: Mapping[str, Labels]) -> list[str]:
    """The `or`s in an expression of which one side carries a label and the other does not.

    They give twice what both sides have; `or on ()` does not, whose right side is there when the left has nothing.
    Raises LabelFault.
    """
    return [
        node.prettify()
        for node in nodes(expr)
        if isinstance(node, ast.BinaryExpr)
        and str(node.op) == "or"
        and not instead(node)
        and (label in (labels_of(node.lhs, series) or ())) != (label in (labels_of(node.rhs, series) or ()))
    ]


def instead(expr: ast.BinaryExpr) -> bool:
    """Whether it is an `or on ()`."""
    matching = expr.modifier.matching if expr.modifier else None
    return matching is not None and matching.type == ast.LabelModifierType.Include and not matching.labels


def _must_have(wanted: Iterable[str], labels: Labels, what: str) -> None:
    if missing := set(wanted) - labels:
        raise LabelFault(f"{what} has no label {', '.join(sorted(missing))}")


def _selected(selector: ast.VectorSelector, series: Mapping[str, Labels]) -> Labels:
    name = selector.name or ""
    if name not in series:
        raise LabelFault(f"nothing is called {name}")
    _must_have((matcher.name for matcher in selector.matchers.matchers), series[name], name)
    return series[name]


def _aggregated(expr: ast.AggregateExpr, series: Mapping[str, Labels]) -> Labels:
    labels = labels_of(expr.expr, series) or frozenset()
    if str(expr.op) in ("topk", "bottomk"):
        return labels
    if expr.modifier is None:
        return frozenset()
    named = frozenset(expr.modifier.labels)
    made = frozenset({expr.param.val} if expr.param and str(expr.op) == "count_values" else ())
    _must_have(named, labels, expr.expr.prettify())
    return made | (named if expr.modifier.type == ast.AggModifierType.By else labels - named)


def _called(call: ast.Call, series: Mapping[str, Labels]) -> Labels | None:
    name = call.func.name
    given = [labels_of(argument, series) for argument in call.args]
    if name in ("time", "scalar"):
        return None
    if name == "absent":
        selector = call.args[0]
        return frozenset(m.name for m in selector.matchers.matchers if m.op == ast.MatchOp.Equal)
    labels = next((one for one in given if one is not None), frozenset[str]())
    if name in ("label_replace", "label_join"):
        _must_have((source.val for source in call.args[3:] if name == "label_join"), labels, name)
        return labels | {call.args[1].val}
    if name == "histogram_quantile":
        _must_have(["le"], labels, call.args[1].prettify())
        return labels - {"le"}
    return labels


def _matched(expr: ast.BinaryExpr, left: Labels, right: Labels) -> Labels:
    matching = expr.modifier.matching if expr.modifier else None
    on = matching is not None and matching.type == ast.LabelModifierType.Include
    what = f"a side of {expr.op} in {expr.prettify()}"
    if on:
        assert matching is not None
        _must_have(matching.labels, left, what)
        _must_have(matching.labels, right, what)
    if str(expr.op) == "or":
        return left | right
    if not on and left != right:
        raise LabelFault(f"the sides of {expr.op} never match: {sorted(left ^ right)} in {expr.prettify()}")
    if str(expr.op) in _SET_OPERATORS:
        return left
    if expr.modifier is not None and expr.modifier.card == ast.VectorMatchCardinality.ManyToOne:
        taken = frozenset(expr.modifier.group_labels or ())
        _must_have(taken, right, what)
        return left | taken
    return frozenset(matching.labels) if on and matching is not None else left
