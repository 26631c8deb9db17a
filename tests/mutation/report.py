"""What mutmut found in a folder: `python tests/mutation/report.py FOLDER [NAMES]`, after `mutmut run` there.

Prints how many mutants of each module were caught by types and by tests, and every one that survived and is not listed
in `equivalent.toml`. Ends with 1 where those are 5 % or more. Of a sample, whose names are in a file (`sample.py`), it
prints between what shares those of all mutants may lie.
"""

from __future__ import annotations

import ast
import difflib
import json
import math
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ALLOWED = 0.05
SURVIVED, BY_NO_TEST, BY_TYPES = 0, 33, 37
"""Exit codes that mutmut gives mutants in its records; None is one that was not run."""


class Mutant(NamedTuple):
    """One change of the line `was` to `becomes`; of several lines, as one text."""

    name: str
    was: str
    becomes: str


def changes(mutated: Path, names: list[str]) -> Iterator[Mutant]:
    """Give what each of these mutants of a file changes."""
    lines = mutated.read_text().splitlines()
    functions = {
        node.name: lines[node.lineno : node.end_lineno]
        for node in ast.walk(ast.parse("\n".join(lines)))
        if isinstance(node, ast.FunctionDef)
    }
    for name in names:
        function = name.rpartition(".")[2]
        original = re.sub(r"__mutmut_\d+$", "__mutmut_orig", function)
        differing = list(difflib.ndiff(functions[original], functions[function]))
        was, becomes = (
            " ".join(line[2:].strip() for line in differing if line.startswith(sign)) for sign in ("- ", "+ ")
        )
        yield Mutant(name, was, becomes)


def changes_a_part(mutant: Mutant, was: str, becomes: str) -> bool:
    """Say whether a mutant puts one text in the place of another once, and changes nothing else."""
    return any(
        f"{mutant.was[: found.start()]}{becomes}{mutant.was[found.end() :]}".strip() == mutant.becomes
        for found in re.finditer(re.escape(was), mutant.was)
    )


def bounds(found: int, drawn: int) -> tuple[float, float]:
    """Give Wilson's 95 % interval of a share, of which that many were found among so many drawn."""
    z, share = 1.96, found / drawn
    middle = share + z * z / (2 * drawn)
    half = z * math.sqrt(share * (1 - share) / drawn + (z / (2 * drawn)) ** 2)
    return (middle - half) / (1 + z * z / drawn), (middle + half) / (1 + z * z / drawn)


def main(folder: Path, sample: frozenset[str] | None) -> int:
    """Print it."""
    listed = tomllib.loads((Path(__file__).parent / "equivalent.toml").read_text())
    equivalent = {(one["module"], one["was"], one["is"]) for one in listed["mutant"]}
    parts = [(one["was"], one["is"]) for one in listed["everywhere"]]
    of_all = unknown_of_all = 0
    for record in sorted(folder.glob("mutants/src/parsl_exporter/model/*.py.meta")):
        module = record.name.removesuffix(".py.meta")
        recorded: dict[str, int | None] = json.loads(record.read_text())["exit_code_by_key"]
        codes = {name: code for name, code in recorded.items() if sample is None or name in sample}
        ran = {name: code for name, code in codes.items() if code is not None}
        survived = [name for name, code in ran.items() if code in (SURVIVED, BY_NO_TEST)]
        found = list(changes(record.with_suffix(""), survived))
        unknown = [
            one
            for one in found
            if (module, one.was, one.becomes) not in equivalent
            and not any(changes_a_part(one, *part) for part in parts)
        ]
        types = sum(code == BY_TYPES for code in ran.values())
        print(
            f"{module}: {len(codes)} mutants, {len(codes) - len(ran)} not run, {types} caught by types,"
            f" {len(ran) - types - len(survived)} by tests, {len(survived)} survived,"
            f" of these {len(found) - len(unknown)} equivalent"
        )
        for one in unknown:
            print(f"  {one.name}\n    - {one.was}\n    + {one.becomes}")
        of_all, unknown_of_all = of_all + len(ran), unknown_of_all + len(unknown)
    share = unknown_of_all / of_all if of_all else 1.0
    print(
        f"{of_all} mutants, of which {unknown_of_all} survived and are not known as equivalent: {share:.1%}"
    )
    if sample is not None and of_all:
        low, high = bounds(unknown_of_all, of_all)
        print(f"so of all mutants between {low:.1%} and {high:.1%} do (95 %)")
    return int(share >= ALLOWED)


if __name__ == "__main__":
    names = frozenset(Path(sys.argv[2]).read_text().split()) if len(sys.argv) > 2 else None
    sys.exit(main(Path(sys.argv[1]), names))
