"""The Dockerfile without a container engine: against its linter, the compose file, and with its steps run here."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.packages import PROJECT
from support.processes import eventually, free_port, required, started
from support.stack_files import IMAGE, ROOT, SERVICES, mounts, published

pytestmark = pytest.mark.integration

DOCKERFILE = (ROOT / "Dockerfile").read_text()
((_, _, INSIDE),) = published(SERVICES["exporter"])
"""The port that the exporter listens on in its container."""


def steps() -> list[tuple[str, str]]:
    """The Dockerfile's instructions, each with its arguments on one line."""
    lines = [line for line in DOCKERFILE.splitlines() if not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [
        (word, rest.strip())
        for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line)
    ]


def stages() -> dict[str, tuple[str, list[tuple[str, str]]]]:
    """The Dockerfile's stages: name, what it builds on, its other instructions."""
    found: dict[str, tuple[str, list[tuple[str, str]]]] = {}
    for word, rest in steps():
        if word == "FROM":
            base, _, name = rest.partition(" AS ")
            found[name] = (base, [])
        else:
            found[name][1].append((word, rest))
    return found


STAGES = stages()


def whole(stage: str) -> list[tuple[str, str]]:
    """A stage's instructions with those of the stages that it builds on before them."""
    base, own = STAGES[stage]
    return (whole(base) if base in STAGES else []) + own


def test_hadolint_finds_nothing() -> None:
    done = subprocess.run(
        [required("hadolint"), "--no-color", ROOT / "Dockerfile"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


def test_base_images_are_pinned_to_one_version() -> None:
    bases = {base for base, _ in STAGES.values()} - set(STAGES)
    assert len(bases) == 1
    assert IMAGE.fullmatch(bases.pop())


def test_the_exporter_is_built_when_no_target_is_named() -> None:
    assert list(STAGES)[-1] == "exporter"
    for name in ("exporter", "demo"):
        assert SERVICES[name]["build"]["target"] == name


@pytest.mark.parametrize("stage", ["exporter", "demo"])
def test_an_image_runs_as_nobody_and_tells_its_health(stage: str) -> None:
    found = dict(whole(stage))
    assert int(found["USER"].split(":")[0]) > 0
    assert "/-/healthy" in found["HEALTHCHECK"]
    command = [*json.loads(found["ENTRYPOINT"]), *json.loads(found["CMD"])]
    assert command[0] == "parsl-exporter"
    assert f"--web.listen-address=0.0.0.0:{INSIDE}" in command
    assert found["EXPOSE"] == str(INSIDE)


INSTALLS = [
    (name, part.split())
    for name, (_, own) in STAGES.items()
    for word, rest in own
    if word == "RUN"
    for part in rest.split("&&")
    if " install " in part
]


def test_nothing_is_installed_from_an_index_but_files_whose_hashes_are_known() -> None:
    """A wheel that was just built comes from no index; no source is built, for which more would be fetched."""
    for name, words in INSTALLS:
        assert "--no-deps" in words, name
        assert "--no-index" in words or {"--require-hashes", "--only-binary"} <= set(words), name
    assert {name for name, _ in INSTALLS} == {"wheel", "exporter-environment", "demo-environment"}
    assert "--no-build-isolation" in str(STAGES["wheel"])


def test_each_image_has_what_is_pinned_for_it() -> None:
    pinned = {name: words[-1] for name, words in INSTALLS if "--requirement" in words}
    assert pinned == {
        "wheel": "lock-build.txt",
        "exporter-environment": "/locks/lock-image.txt",
        "demo-environment": "/locks/lock-demo.txt",
    }


def test_the_exporter_reads_the_folder_that_is_mounted() -> None:
    assert json.loads(dict(whole("exporter"))["CMD"])[-1] in mounts(SERVICES["exporter"])


def test_what_is_copied_is_in_the_build_context() -> None:
    let_in = set(re.findall(r"(?m)^!(.+)$", (ROOT / ".dockerignore").read_text()))
    copied = {
        source
        for word, rest in steps()
        if word == "COPY" and not rest.startswith("--from")
        for source in rest.split()[:-1]
    }
    assert copied == let_in
    assert all((ROOT / source).exists() for source in copied)


def test_the_build_steps_make_an_exporter_that_runs(tmp_path: Path) -> None:
    """The exporter image's own steps, with its absolute paths moved below a temporary folder."""

    def moved(text: str) -> str:
        return re.sub(r"(?<![\w.])/(?=(locks|opt|src|wheels)\b)", f"{tmp_path}/", text)

    tools = Path(required("pip")).parent
    bare = {"PATH": f"{tools}:/usr/bin:/bin", "HOME": str(tmp_path)}
    bare |= {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    folder = tmp_path
    for word, rest in STAGES["wheel"][1] + STAGES["exporter-environment"][1]:
        if word == "WORKDIR":
            folder = Path(moved(rest))
            folder.mkdir()
        elif word == "COPY" and not rest.startswith("--from"):
            *sources, target = moved(rest).split()
            for source in sources:
                goal = folder / target if (ROOT / source).is_dir() else folder / target / Path(source).name
                goal.parent.mkdir(parents=True, exist_ok=True)
                copy = shutil.copytree if (ROOT / source).is_dir() else shutil.copy
                copy(ROOT / source, goal)
        elif word == "RUN":
            run = subprocess.run(
                ["/bin/sh", "-ec", moved(rest)],
                cwd=folder, env=bare, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300,
                check=False,
            )  # fmt: skip
            assert run.returncode == 0, run.stdout
    entry = json.loads(dict(whole("exporter"))["ENTRYPOINT"])
    path = moved(dict(pair.split("=", 1) for pair in shlex.split(dict(whole("exporter"))["ENV"]))["PATH"])
    said = subprocess.check_output(
        [shutil.which(entry[0], path=path.split(":")[0]) or entry[0], "--version"],
        env={"PATH": path},
        text=True,
        timeout=60,
    )
    assert said == f"parsl-exporter {PROJECT['version']}\n"


def test_the_health_check_tells_a_living_exporter_from_a_dead_one(tmp_path: Path) -> None:
    _, _, command = dict(whole("exporter"))["HEALTHCHECK"].partition(" CMD ")
    port = free_port()
    check = [sys.executable, *json.loads(command.replace(f" {INSIDE},", f" {port},"))[1:]]
    assert str(port) in check[-1]

    def status() -> int:
        return subprocess.run(check, stderr=subprocess.DEVNULL, timeout=30, check=False).returncode

    assert status() != 0
    serve = [sys.executable, "-m", "parsl_exporter", f"--web.listen-address=127.0.0.1:{port}", "none.db"]
    with started(
        *serve, cwd=tmp_path, log=tmp_path / "log", environment={"PYTHONPATH": str(ROOT / "exporter")}
    ):
        eventually("health", 30, lambda: status() == 0, (tmp_path / "log").read_text)
