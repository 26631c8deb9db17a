"""The command line's own rules: which words are commands, which flags take a value, and that each is explained."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from parsl_exporter.assets.adaptation import Site
from parsl_exporter.cli import parser as module
from parsl_exporter.cli.main import _RUN
from parsl_exporter.cli.parser import parse, parser, subparsers

WHOLE = parser()
EVERY = {"": WHOLE, **subparsers(WHOLE)}


def test_each_command_is_run_and_is_known_where_a_database_is_likelier_to_be_one() -> None:
    assert set(subparsers(WHOLE)) == set(module._COMMANDS) == set(_RUN)


@pytest.mark.parametrize("command", EVERY)
def test_every_flag_and_argument_has_a_word_of_help(command: str) -> None:
    for one in EVERY[command]._actions:
        assert one.help or isinstance(one, argparse._SubParsersAction), one.option_strings or one.dest


def test_every_command_has_a_word_of_help() -> None:
    (commands,) = (one for one in WHOLE._actions if isinstance(one, argparse._SubParsersAction))
    assert {one.dest for one in commands._choices_actions if one.help} == set(subparsers(WHOLE))


def switches() -> list[tuple[str, str]]:
    return [
        (command, one.option_strings[-1])
        for command, of in subparsers(WHOLE).items()
        for one in of._actions
        if one.nargs == 0 and one.option_strings[-1] not in ("--help", "--version")
    ]


@pytest.mark.parametrize(("command", "switch"), switches())
def test_no_value_is_expected_of_a_switch_before_the_command(command: str, switch: str) -> None:
    needed = {"assets": ["--output", "dir"], "dump": ["a.db"], "push": ["--to", "http://gateway:9091"]}
    rest = needed.get(command, [])
    assert parse([switch, command, *rest]) == parse([command, switch, *rest])


@pytest.mark.parametrize(
    "wrong",
    [
        ["--job", 'a"b'],
        ["--job", ""],
        ["--job=--"],
        ["--target", "login1"],
        ["--target", ":9678"],
        ["--alertmanager", "a:0"],
        ["--scrape.interval", "soon"],
        ["--scrape.interval", "0"],
        ["--grafana.url", "grafana:3000"],
        ["--grafana.url", "http://$HOST"],
        ["--runbook.url", 'http://a"'],
        ["--datasource.uid", "a/b"],
        ["--datasource.name", "a\nb"],
        ["--output", ""],
        ["--output", "a[1]"],
        ["--output", "a*"],
        ["--output", "a?"],
        ["--output", "a\\b"],
    ],
)
def test_what_would_break_a_file_is_wrong_usage(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        parse(["assets", "--output", "dir", *wrong])
    assert stopped.value.code == 2
    assert f"argument {wrong[0].partition('=')[0]}: " in capsys.readouterr().err


def test_two_dashes_are_no_value_of_a_flag_and_any_other_name_may_end_so() -> None:
    found = parse(["check", "--config.file", "a=--", "b=--"])
    assert (found.config_file, found.databases) == (Path("a=--"), ["b=--"])


def test_defaults_are_told_as_they_are() -> None:
    shown = " ".join(subparsers(WHOLE)["assets"].format_help().split())
    usual = Site(Path())
    for default in (
        usual.job,
        *usual.targets,
        usual.scrape_interval,
        usual.prometheus_url,
        usual.grafana_url,
    ):
        assert f"(default {default})" in shown
