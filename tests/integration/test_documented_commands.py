"""What the documentation tells people to type works as it stands, and what it says in tables is so."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
import yaml
from support.exporter_process import ROOT, environment
from support.loopback import api, query
from support.packages import built
from support.pages import Block, blocks
from support.processes import eventually, required, said_by, started
from support.source_harness import unpacked

from parsl_exporter.base.errors import FaultReason
from parsl_exporter.config.load import Overrides, load
from parsl_exporter.daemon.supervisor import _POLLS_A_SECOND
from parsl_exporter.readers.sqlite.reader import LONGEST_READ

pytestmark = pytest.mark.integration

PAGES = ("README.md", "SECURITY.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")))

NOT_RUN = {
    "make test": "would run this test",
    "make demo": "has tests of its own",
    "make bench": "takes minutes",
    "make sbom": "takes minutes, and has a test of its own",
    "git tag": "makes a release",
    "git push": "makes a release",
    "twine ": "makes a release",
    "sudo ": "changes the machine",
    "docker ": "needs images from elsewhere",
    ".example.org": "needs another machine",
    "--watch": "goes on until Ctrl-C",
    "systemctl --user ": "needs a systemd of the user's",
    "curl --unix-socket ": "needs what that has started",
    "kubectl ": "needs a cluster",
    "--interval": "goes on until a signal, and has tests of its own",
    "bin/grafana ": "is not in Debian",
    "prometheus --config.file": "has a test of its own, below",
    ":9090/": "asks what that has started",
}
"""What is in commands that are only checked for syntax, and why."""

STOP_THE_EXPORTER = """
until grep --quiet msg=listening "$OUTPUT"; do kill -0 $!; sleep 0.1; done
kill $!
wait $!
"""
"""How a script with an exporter in the background goes on: it has to get as far as to listen, and to end well."""

PLACEHOLDERS = {"/var/lib/prometheus/node-exporter": "textfile", "/path/to/parsl-monitoring": "{checkout}"}
"""What stands in the documentation, and what to put there in the sandbox."""


def is_run(command: str) -> bool:
    return not any(part in command for part in NOT_RUN)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what git would give, a finished run in its runinfo folder, and an empty home folder beside it.

    Beside it, too, the wheel that an index would have.
    """
    folder = tmp_path_factory.mktemp("documented") / "checkout"
    for name in ("exporter", "config", "docs", "grafana"):
        shutil.copytree(
            ROOT / name, folder / name, ignore=shutil.ignore_patterns("*.egg-info", "__pycache__")
        )
    for name in ("README.md", "LICENSE", "pyproject.toml", "Makefile"):
        shutil.copy(ROOT / name, folder)
    for name in ("runinfo", "textfile", "../home"):
        (folder / name).mkdir()
    unpacked(folder / "runinfo" / "monitoring.db")
    built(folder.parent / "wheels", "-t", "wheel")
    _program(folder, "parsl-exporter", f'exec "{sys.executable}" -m parsl_exporter "$@"')
    # Installs into an environment of its own, never into the one that runs the tests.
    environment = '"$HOME/environment"'
    make = f'test -d {environment} || "{sys.executable}" -m venv {environment}'
    _program(folder, "pip", f'{make}\nexec {environment}/bin/pip "$@"')
    return folder


def _program(checkout: Path, name: str, script: str) -> None:
    """A program that a page assumes to be on PATH."""
    target = checkout / "bin" / name
    target.parent.mkdir(exist_ok=True)
    target.write_text(f"#!/bin/sh\n{script}\n")
    target.chmod(0o755)


def test_the_pages_have_commands() -> None:
    pages = {block.page for block in blocks("console", *PAGES)}
    assert {"README.md", "docs/operations.md", "docs/without-prometheus.md", "docs/hpc.md"} <= pages


@pytest.mark.parametrize("block", blocks("console", *PAGES), ids=str)
def test_commands_do_what_the_page_says(block: Block, checkout: Path) -> None:
    assert block.commands, "a console block without a line that begins with $"
    script = _with_real_paths("\n".join(filter(is_run, block.commands)), checkout)
    for tool in ("curl", "promtool"):
        if f"{tool} " in script:
            required(tool)
    if "parsl-exporter runinfo" in script:
        _need_port(9678)
    if "&" in script:
        script += STOP_THE_EXPORTER
    output = checkout.parent / "output"
    changes = _surroundings(checkout, block) | {"OUTPUT": str(output)}
    with output.open("wb") as out:
        process = subprocess.Popen(
            ["bash", "-e", "-c", script],
            cwd=checkout,
            env=environment(**changes),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        status = process.wait(240)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert status == 0, output.read_text()


def test_the_way_to_the_first_dashboard_leads_to_where_grafana_begins(checkout: Path) -> None:
    """Exporter, Prometheus and rules run and know each other, and what Grafana is given leads to them."""
    required("prometheus", "promtool", "curl")
    exporter, prometheus = (
        next(one for one in blocks("console", "docs/quickstart.md") if command in one.text)
        for command in ("parsl-exporter runinfo &", "prometheus --config.file")
    )
    address = "http://127.0.0.1:9090"
    for port in (9678, 9090):
        _need_port(port)
    end = "trap 'kill $(jobs -p)' EXIT"  # where a command fails: what goes on would hold the pipe open
    script = "\n".join(("set -e", end, *exporter.commands, *prometheus.commands, "echo both", "wait"))
    surroundings = environment(**_surroundings(checkout, prometheus))
    with started(
        "bash", "-c", script, cwd=checkout, log=checkout.parent / "log", environment=surroundings
    ) as shell:
        assert shell.stdout is not None
        assert "both\n" in shell.stdout, (checkout.parent / "log").read_text()
        for expr in ('up{job="parsl-exporter"} == 1', "parsl:threshold"):
            eventually(expr, 90, partial(query, address, expr))
        groups = {group["file"].rpartition("/")[2] for group in api(address, "rules")["groups"]}
    assert groups == {path.name for path in (ROOT / "config/rules").glob("*.yml")}
    provisioning = checkout / "parsl-monitoring/grafana/provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources/parsl.yml").read_text())["datasources"]
    (provider,) = yaml.safe_load((provisioning / "dashboards/parsl.yml").read_text())["providers"]
    assert source["url"] == address.replace("127.0.0.1", "localhost")
    assert len(list(Path(provider["options"]["path"]).glob("*.json"))) == 5


@pytest.mark.parametrize("block", blocks("console", *PAGES), ids=str)
def test_commands_that_are_not_run_are_at_least_spelled_right(block: Block) -> None:
    for command in block.commands:
        subprocess.run(["bash", "-n", "-c", command], check=True)
        if command.startswith("make "):
            subprocess.run(
                ["make", "--dry-run", *command.split()[1:]], cwd=ROOT, check=True, capture_output=True
            )
        for word in command.split():
            if word.startswith(("config/", "docs/")):
                assert (ROOT / word).exists(), f"{block}: {word}"


def test_make_lists_its_targets_and_each_is_one() -> None:
    def make(*arguments: str) -> str:
        done = subprocess.run(["make", *arguments], cwd=ROOT, check=True, capture_output=True, text=True)
        return done.stdout

    names = re.findall(r"^make (\S+)", make("help"), re.MULTILINE)
    assert {"test", "nightly", "bench", "bench-memory", "bench-postgresql"} <= set(names)
    for name in names:
        for script in re.findall(r"tests/\S+\.py", make("--dry-run", name)):
            assert (ROOT / script).is_file()


@pytest.mark.parametrize("block", blocks("yaml", *PAGES), ids=str)
def test_configuration_in_the_pages_is_accepted(block: Block, checkout: Path, tmp_path: Path) -> None:
    target = tmp_path / "block.yml"  # not in the checkout: neither is people's configuration
    target.write_text(_with_real_paths(block.text, checkout))
    given = yaml.safe_load(block.text)
    if not given.keys() & {"global", "scrape_configs", "rule_files", "remote_write"}:
        load(target, Overrides())
        return
    newer = "protobuf_message" in block.text  # than Debian 12's Prometheus
    said = said_by("promtool", "check", "config", target, today=newer)
    if "rule_files" in given:
        assert re.search(r"SUCCESS: [1-9]\d* rule files found", said)


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
        if "://" not in target:
            assert (ROOT / page).parent.joinpath(target).exists(), target


def test_every_reason_why_a_source_is_down_is_explained() -> None:
    text = (ROOT / "docs" / "causes.md").read_text(encoding="utf-8")
    table = text.partition("| reason |")[2].partition("\n\n")[0]
    assert re.findall(r"^\| (\w+) \|", table, re.MULTILINE) == list(FaultReason)


def test_the_service_has_a_file_descriptor_for_each_of_many_databases_and_clients() -> None:
    unit = (ROOT / "config" / "systemd" / "parsl-exporter.service").read_text()
    limit = re.search(r"^LimitNOFILE=(\d+)$", unit, re.MULTILINE)
    assert limit is not None
    assert int(limit[1]) >= 50_000


def test_the_pages_name_the_limits_of_the_code() -> None:
    operations, design = (
        " ".join((ROOT / "docs" / name).read_text(encoding="utf-8").split())
        for name in ("operations.md", "design.md")
    )
    milliseconds = f"about {LONGEST_READ * 1e3:.0f} ms"
    assert [milliseconds in page for page in (operations, design)] == [True, True]
    assert f"{_POLLS_A_SECOND} polls a second at most" in operations


def _surroundings(checkout: Path, block: Block) -> dict[str, str]:
    """What a person's shell has in its environment; of README's environment once a block before has made it."""
    path = f"{checkout / 'bin'}{os.pathsep}{environment()['PATH']}"
    given = {
        "HOME": str(checkout.parent / "home"),
        "PATH": path,
        "PIP_FIND_LINKS": str(checkout.parent / "wheels"),
    }
    activated = checkout.parent / "home/venvs/parsl-exporter/bin"
    if block.page in {"README.md", "docs/quickstart.md"} and activated.exists():
        given |= {"PYTHONPATH": "", "PATH": f"{activated}{os.pathsep}{path}"}
    return given


def _with_real_paths(text: str, checkout: Path) -> str:
    for placeholder, real in PLACEHOLDERS.items():
        text = text.replace(placeholder, real.format(checkout=checkout))
    return text


def _need_port(port: int) -> None:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        assert not os.environ.get("CI"), f"port {port} is taken"
        pytest.skip(f"port {port} is taken")
