"""Why a try failed: the class of exception that its row tells of."""

from __future__ import annotations

import re

DEPENDENCY_ERROR = "DependencyError"
_CALLED = re.compile(r"([^\s(<>'\",:=]+)\(")
_NAMED = re.compile(r"(?:<(?:class ')?)?([^\s(<>'\",:=]+)")
_LONGEST_HEAD = 1_000


def failure_class(history: str | None) -> str | None:
    """The exception class that `try.task_fail_history` begins with, without its module; None when it names none.

    Parsl writes `repr(exception)` there (`parsl/dataflow/dflow.py`, `handle_exec_update`): the class's name, in any
    script, and its arguments in brackets. Classes with a `__repr__` of their own write `<Name ...>` or `Name: ...`.
    """
    text = (history or "").lstrip()[:_LONGEST_HEAD]
    if called := _CALLED.match(text):
        return _without_module(called.group(1))
    named = _NAMED.match(text)
    name = _without_module(named.group(1)) if named else ""
    return name if name.isidentifier() else None


def _without_module(name: str) -> str:
    return name.rpartition(".")[2] if all(part.isidentifier() for part in name.split(".")) else name
