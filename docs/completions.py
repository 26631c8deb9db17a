"""What shells need to complete the command line, made from its parser by shtab and mended where that falls short."""

from __future__ import annotations

import argparse
import re

import shtab

from parsl_exporter.cli.parser import parser, subparsers

_PATHS = {"FILE": shtab.FILE, "DATABASE": shtab.FILE, "DIR": shtab.DIRECTORY}

# bash has three words in --flag=value, where shtab knows two; and a database may be the first word.
_BASH = """
_parsl_exporter() {
  local words=() index current=$COMP_CWORD
  for index in "${!COMP_WORDS[@]}"; do
    if [[ ${COMP_WORDS[index]} == "=" && ${COMP_WORDS[index - 1]} == --* ]]; then
      ((index == COMP_CWORD)) && words+=("")
      ((index < COMP_CWORD)) && ((current -= 1))
    else
      words+=("${COMP_WORDS[index]}")
    fi
  done
  local COMP_WORDS=("${words[@]}") COMP_CWORD=$current
  _shtab_parsl_exporter
}

complete -o bashdefault -o default -F _parsl_exporter parsl-exporter
"""
_FISH = """
complete -c parsl-exporter -n _shtab_parsl_exporter_using -ka "(__fish_complete_path)" -d 'a database'
"""


def completion(shell: str) -> str:
    """Give a script for a shell, such as bash."""
    return _MENDED[shell](shtab.complete(_completed(), shell))


def _bash(script: str) -> str:
    return script + _BASH


def _zsh(script: str) -> str:
    """With --flag=value, a database as the first word, and `source` as well as `eval`."""
    script = re.sub(r'^(  "\*?--[a-z.-]+)(\[[^]]*\]:)', r"\1=\2", script, flags=re.MULTILINE)
    script = script.replace("exporter commands' _commands\n", "exporter commands' _commands\n  _files\n")
    return script.replace("$zsh_eval_context[-1] == eval ", "$zsh_eval_context[-1] == (eval|file) ")


def _fish(script: str) -> str:
    """With paths in --flag=path, and a database as the first word."""
    return script.replace(" (commandline -ct))", ")") + _FISH


_MENDED = {"bash": _bash, "zsh": _zsh, "fish": _fish}


def _completed() -> argparse.ArgumentParser:
    """The parser with what may be typed for an argument; without a command there are the flags of `serve`."""
    whole = parser()
    every = subparsers(whole)
    own = {flag for one in whole._actions for flag in one.option_strings}
    for one in every["serve"]._actions:
        if one.option_strings and not own.intersection(one.option_strings):
            whole._add_action(one)
    for part in (whole, *every.values()):
        for one in part._actions:
            if isinstance(one.metavar, str) and one.metavar in _PATHS:
                one.complete = _PATHS[one.metavar]  # type: ignore[attr-defined]  # where shtab looks for it
    return whole
