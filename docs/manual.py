"""The manual page, made from the parser of the command line."""

from __future__ import annotations

import argparse
import re

from parsl_exporter.cli.parser import parser, subparsers

_HEAD = re.compile(r'^\.TH PARSL-EXPORTER 1 "?([0-9-]{10})', re.MULTILINE)

_AFTER = """\
.SH SIGNALS
.TP
.B SIGHUP
.B serve
reads its configuration again; a faulty one is named in the log, and the old one stays.
.TP
.BR SIGTERM ", " SIGINT
.B serve
and
.B status \\-\\-watch
end within 2 seconds, with status 0.
.B dump
and
.B push
with
.B \\-\\-interval
write or push the last state first.
.SH EXIT STATUS
.TP
.B 0
done
.TP
.B 1
a fault, named on standard error
.TP
.B 2
wrong usage
.SH SEE ALSO
.BR promtool (1),
.BR systemd.service (5)
"""


def page(date: str) -> str:
    """Give the page in the macros of man(7), as last changed on `date`, such as 2026-01-31."""
    whole = parser()
    lines = [
        f'.TH PARSL-EXPORTER 1 {date} parsl-exporter "User Commands"',
        ".SH NAME",
        f"parsl\\-exporter \\- {_text('Prometheus exporter for the monitoring database of Parsl')}",
        ".SH SYNOPSIS",
        ".B parsl\\-exporter",
        r"[\fBserve\fR] [\fIFLAG\fR ...] [\fIDATABASE\fR ...]",
    ]
    every = subparsers(whole)
    for name, command in every.items():
        if name != "serve":
            lines += [".br", rf".B parsl\-exporter {_text(name)}", _arguments(command)]
    lines += [
        ".SH DESCRIPTION",
        _text(str(whole.description)),
        ".PP",
        _text(str(whole.epilog)),
        ".SH COMMANDS",
    ]
    helps = _helps(whole)
    for name, command in every.items():
        lines += [f".SS {name}", _text(_sentence(helps[name]))]
        for one in command._actions:
            if "--help" not in one.option_strings and "--version" not in one.option_strings:
                lines += [".TP", _shown(one), _text(str(one.help))]
    lines += [".SH OTHER FLAGS"]
    for one in whole._actions:
        if one.option_strings:
            lines += [".TP", _shown(one), _text(str(one.help))]
    return "\n".join(lines) + "\n" + _AFTER


def date_of(text: str) -> str | None:
    """Give the date of a page; None where it has none."""
    found = _HEAD.search(text)
    return found[1] if found else None


def _helps(whole: argparse.ArgumentParser) -> dict[str, str]:
    (commands,) = (one for one in whole._actions if isinstance(one, argparse._SubParsersAction))
    return {one.dest: str(one.help) for one in commands._choices_actions}


def _arguments(command: argparse.ArgumentParser) -> str:
    """What follows the command's name."""
    own = [one for one in command._actions if one.dest not in ("help", "version")]
    needed = [one for one in own if one.required and one.option_strings]
    parts = [rf"\fB{_text(one.option_strings[-1])}\fR \fI{_value(one)}\fR" for one in needed]
    parts += [r"[\fIFLAG\fR ...]"] if any(one.option_strings and not one.required for one in own) else []
    for one in own:
        if not one.option_strings:
            parts.append(rf"[\fI{_value(one)}\fR ...]" if one.nargs == "*" else rf"\fI{_value(one)}\fR")
    return " ".join(parts)


def _shown(action: argparse.Action) -> str:
    names = ", ".join(rf"\fB{_text(name)}\fR" for name in action.option_strings)
    if action.nargs == 0:
        return names
    return f"{names} \\fI{_value(action)}\\fR".strip()


def _value(action: argparse.Action) -> str:
    if action.choices is not None:
        return r"\fR|\fI".join(map(_text, action.choices))
    return _text(str(action.metavar or action.dest.upper()))


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _text(text: str) -> str:
    """A text as roff takes it for no request, and each - of it for a hyphen-minus."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{escaped}" if escaped[:1] in (".", "'") else escaped
