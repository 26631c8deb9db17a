"""Shells complete the command line as people type it; the manual page is one that man takes."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from support.exporter_process import ROOT, run
from support.processes import required, said_by
from support.terminal import on_terminal

from parsl_exporter.assets.completions import FILES

pytestmark = [pytest.mark.integration, pytest.mark.stack, pytest.mark.apart]

SCRIPTS = ROOT / "config" / "completions"
PAGE = ROOT / "docs" / "parsl-exporter.1"
INTERACTIVE = {
    "bash": ("--norc", "--noprofile", "-i"),
    "zsh": ("-f", "-i"),
    "fish": ("--no-config", "--interactive"),
}
SHOWN = 'parsl-exporter() { printf "<%s>" "$@"; echo " EN""D"; }'
"""In place of the program: it shows what the shell would have given it."""
BEFORE = {"zsh": "autoload -Uz compinit; compinit -D", "bash": ":", "fish": ":"}
DEFINED = {
    "bash": SHOWN,
    "zsh": SHOWN,
    "fish": 'function parsl-exporter; printf "<%s>" $argv; echo " EN""D"; end',
}

# What is typed, with \t for the tabulator; what the program is given then.
TYPED = {
    "che\trunin\t": "<check><runinfo>",
    "runin\t": "<runinfo>",
    "--web.c\texp\t": "<--web.config.file><exporter.yml>",
    "serve --log.l\tw\t": "<serve><--log.level><warn>",
    "serve --log.level=w\t": "<serve><--log.level=warn>",
    "--config.file exporter.yml du\trun\t": "<--config.file><exporter.yml><dump><runinfo>",
    "check --config.file=expo\t": "<check><--config.file=exporter.yml>",
    "assets --outp\tdir\t --forc\t": "<assets><--output><directory><--force>",
    "assets --output=dir\t": "<assets><--output=directory>",
    "completion f\t": "<completion><fish>",
}
# What a shell is told to load, and with it how.
LOADED = [
    ("bash", "source <(cat {scripts}/parsl-exporter.bash)"),
    ("zsh", "fpath=({scripts} $fpath); compinit -D"),
    ("zsh", "source <(cat {scripts}/_parsl-exporter)"),
    ("zsh", 'eval "$(cat {scripts}/_parsl-exporter)"'),
    ("fish", "cat {scripts}/parsl-exporter.fish | source"),
]


def plain(given: str) -> str:
    """Without what only some shells do: a / behind a folder, and = before a value."""
    return given.replace("/>", ">").replace("=", "><")


@pytest.mark.parametrize(("shell", "load"), LOADED, ids=lambda word: word.split()[0])
def test_what_is_typed_is_completed(shell: str, load: str, tmp_path: Path) -> None:
    for name in ("runinfo", "directory"):
        (tmp_path / name).mkdir()
    (tmp_path / "exporter.yml").touch()
    changes = {"TERM": "dumb", "HOME": str(tmp_path), "PS1": "$ ", "INPUTRC": os.devnull}
    changes |= {f"XDG_{kind}_HOME": str(tmp_path / "home") for kind in ("CONFIG", "DATA", "CACHE")}
    command = (required("setsid"), "--ctty", required(shell), *INTERACTIVE[shell])
    with on_terminal(*command, cwd=tmp_path, environment=os.environ | changes, columns=200) as terminal:
        setup = "; ".join((BEFORE[shell], load.format(scripts=SCRIPTS), DEFINED[shell], 'echo REA""DY'))
        os.write(terminal.terminal, f"{setup}\r".encode())
        terminal.shows("READY")
        given = {}
        for typed in TYPED:
            terminal.received.clear()
            os.write(terminal.terminal, f"parsl-exporter {typed}\r".encode())
            found = re.search(r"(<.*>) END", terminal.shows(" END"))
            given[typed] = plain(found[1]) if found else None
    assert given == {typed: plain(wanted) for typed, wanted in TYPED.items()}


@pytest.mark.parametrize("shell", FILES)
def test_the_program_gives_the_script(shell: str, tmp_path: Path) -> None:
    done = run("completion", shell, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (SCRIPTS / FILES[shell]).read_text()


@pytest.mark.parametrize(
    "command",
    [("mandoc", "-Tlint", "-Wwarning"), ("groff", "-man", "-ww", "-Tutf8", "-z")],
    ids=lambda one: one[0],
)
def test_the_manual_page_gives_no_warning(command: tuple[str, ...]) -> None:
    assert said_by(*command, PAGE) == ""


def test_the_manual_page_reads_as_the_help_does() -> None:
    """Each command with its flags; a hyphen is one that can be copied."""
    text = " ".join(said_by("groff", "-man", "-Tascii", "-P-cbou", PAGE).split())
    assert "parsl-exporter assets --output DIR [FLAG ...]" in text
    assert "--log.level debug|info|warn|error the least of what is logged (default info)" in text
