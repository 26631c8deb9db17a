"""Which mutants speak against the types: mypy over a folder of mutants, as mutmut's `type_check_command`.

mutmut keeps the function that it changes, as `..._orig`, beside its mutants. What mypy says of that one it says because
of the copying ("already defined"), and no mutant is caught by what is said of its original as well.
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

COPY = re.compile(r"(.*__mutmut_)(orig|\d+)")


def copies(file: Path) -> list[tuple[range, str, str]]:
    """Give the lines of each copy of a function in a file: those, which function, and `orig` or the mutant's number."""
    return [
        (range(node.lineno, (node.end_lineno or node.lineno) + 1), named[1], named[2])
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.FunctionDef) and (named := COPY.fullmatch(node.name))
    ]


def caught(errors: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give the errors, as mypy's JSON has them, that lie in a mutant and not in its original."""
    where = {file: copies(Path(file)) for file in {error["file"] for error in errors}}
    of_originals, of_mutants = set(), []
    for error in errors:
        said = re.sub(r"\d+", "", error["message"])
        for lines, function, which in where[error["file"]]:
            if error["line"] in lines and which == "orig":
                of_originals.add((error["file"], function, said))
            elif error["line"] in lines:
                of_mutants.append((error, (error["file"], function, said)))
    return [error for error, key in of_mutants if key not in of_originals]


if __name__ == "__main__":
    mypy = [
        sys.executable,
        "-m",
        "mypy",
        "--output",
        "json",
        "--no-warn-unused-ignores",
        "src/parsl_exporter",
    ]
    done = subprocess.run(mypy, stdout=subprocess.PIPE, text=True, check=False)
    for error in caught([json.loads(line) for line in done.stdout.splitlines()]):
        print(json.dumps(error))
    sys.exit(done.returncode)
