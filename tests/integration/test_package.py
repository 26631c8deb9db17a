"""The sdist and the wheel: what they hold, that they are the same bytes each time, and that a user's pip makes of them
an exporter with all that belongs to it."""

from __future__ import annotations

import email
import json
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from support.exporter_process import ROOT
from support.packages import PROJECT, built, unpacked
from support.processes import said_by

from parsl_exporter.assets.origin import originals

pytestmark = pytest.mark.integration

NAME = f"parsl_exporter-{PROJECT['version']}"


def tracked(*folders: str) -> set[str]:
    """The files of these folders that git knows, so that nothing that lies about is packed."""
    listed = subprocess.check_output(["git", "ls-files", "-z", "--", *folders], cwd=ROOT, text=True)
    return set(listed.strip("\0").split("\0"))


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(tmp_path_factory.mktemp("sdist"), "-t", "sdist")


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built as an installer does where there is no checkout and no git."""
    folder = unpacked(sdist, tmp_path_factory.mktemp("unpacked"))
    return built(tmp_path_factory.mktemp("wheel"), "-t", "wheel", source=folder)


def installed(wheel: Path, folder: Path) -> Path:
    """A new virtual environment with the wheel; what it depends on comes from the one that runs the tests."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    # Behind what is installed there. Of `.pth` files in these folders nothing is read: the checkout is not seen.
    (site / "these.pth").write_text("\n".join(one for one in sys.path if one.endswith("site-packages")))
    pip = [sys.executable, "-m", "pip", f"--python={folder}", "install", "--no-deps", "--no-index", "--quiet"]
    subprocess.run([*pip, str(wheel)], check=True, timeout=120)
    return folder


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return installed(wheel, tmp_path_factory.mktemp("installed") / "environment")


def test_the_sdist_holds_what_a_wheel_is_built_of_and_the_dashboards_sources(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        held = {name.removeprefix(f"{NAME}/") for name in archive.getnames()}
    pictures = {name for name in tracked("docs") if name.endswith(".png")}
    sources = tracked("exporter/parsl_exporter", "config", "docs", "grafana") - pictures
    assert held == sources | {
        "CHANGELOG.md",
        "LICENSE",
        "README.md",
        "pyproject.toml",
        "PKG-INFO",
        ".gitignore",
    }


def test_the_wheel_holds_the_package_and_what_belongs_to_it(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
    package = {name.removeprefix("exporter/") for name in tracked("exporter/parsl_exporter")}
    there = tracked(
        "config", "docs/parsl-exporter.1", "docs/runbooks.md", "grafana/dashboards", "grafana/provisioning"
    )
    belonging = {name for name in there if not name.endswith(".py")}
    shared = (
        "man/man1/parsl-exporter.1",
        "bash-completion/completions/parsl-exporter",
        "zsh/site-functions/_parsl-exporter",
        "fish/vendor_completions.d/parsl-exporter.fish",
    )
    about = ("METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE")
    assert held == (
        package
        | {f"parsl_exporter/assets/files/{name}" for name in belonging}
        | {f"{NAME}.data/data/share/{name}" for name in shared}
        | {f"{NAME}.dist-info/{name}" for name in about}
    )


@pytest.mark.parametrize("what", ["sdist", "wheel"])
def test_the_same_sources_give_the_same_bytes(what: str, sdist: Path, tmp_path: Path) -> None:
    """In another folder, with other times and permissions."""
    before = sdist if what == "sdist" else built(tmp_path / "before", "-t", "wheel")
    source = unpacked(sdist, tmp_path / "source")
    for path in source.rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)
    assert built(tmp_path / "after", "-t", what, source=source).read_bytes() == before.read_bytes()


def test_the_metadata_say_all_that_pyproject_does(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        metadata = archive.read(f"{NAME}.dist-info/METADATA").decode()
    told = email.message_from_string(metadata)
    assert (told["Name"], told["Version"], told["Summary"]) == (
        "parsl-exporter",
        PROJECT["version"],
        PROJECT["description"],
    )
    assert (told["License-Expression"], told["License-File"]) == ("Apache-2.0", "LICENSE")
    assert told["Requires-Python"] == ">=3.11"
    pythons = {f"Programming Language :: Python :: 3.{minor}" for minor in (11, 12, 13, 14)}
    assert pythons <= set(told.get_all("Classifier", []))
    assert metadata.partition("\n\n")[2] == (ROOT / "README.md").read_text()


def test_the_installed_program_tells_its_version(environment: Path) -> None:
    said = subprocess.check_output(
        [environment / "bin/parsl-exporter", "--version"], text=True, env={}, timeout=60
    )
    assert said == f"parsl-exporter {PROJECT['version']}\n"


def test_the_installed_program_writes_the_files_of_the_checkout(environment: Path, tmp_path: Path) -> None:
    program = environment / "bin/parsl-exporter"
    subprocess.run(
        [program, "assets", "--output", tmp_path / "dir"], check=True, env={}, timeout=60, stdout=-3
    )
    below = tmp_path / "dir"
    there = {path.relative_to(below).as_posix(): path for path in below.rglob("*") if path.is_file()}
    assert there.keys() == originals().keys()
    for name, path in there.items():
        if name.startswith(("config/rules/", "grafana/dashboards/")):
            assert path.read_bytes() == (ROOT / name).read_bytes()
    for board in (tmp_path / "dir/grafana/dashboards").iterdir():
        assert json.loads(board.read_text())["uid"] == board.stem
    unit = there["config/systemd/parsl-exporter.service"].read_text()
    assert f"ExecStart={program} serve --config.file" in unit
    said_by("promtool", "check", "config", there["config/prometheus.yml"])
    said_by("promtool", "test", "rules", there["config/rules/tests/exporter.yml"])


def test_a_checkout_that_is_installed_to_be_edited_stays_one(tmp_path: Path) -> None:
    """Its files are those of the checkout; no copy of them is installed."""
    environment = installed(built(tmp_path / "wheel", "-t", "wheel:editable"), tmp_path / "environment")
    (site,) = environment.glob("lib/python*/site-packages")
    assert not list(site.glob("parsl_exporter/**/*"))
    where = "from parsl_exporter.assets.origin import origin; print(origin())"
    said = subprocess.check_output([environment / "bin/python", "-c", where], text=True, env={}, timeout=60)
    assert said.strip() == str(ROOT)


@pytest.mark.nightly
def test_a_release_has_a_bill_of_materials_of_what_an_image_holds(tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", ROOT, checkout], check=True)
    ready = [f"VENV={sys.prefix}", f"--old-file={sys.prefix}/.installed"]
    subprocess.run(["make", "--no-print-directory", *ready, "sbom"], cwd=checkout, check=True, timeout=600)
    (bill,) = (checkout / "dist").glob("*.cdx.json")
    told = json.loads(bill.read_text())
    assert (told["metadata"]["component"]["name"], told["bomFormat"]) == ("parsl-exporter", "CycloneDX")
    pinned = re.findall(r"(?m)^([a-z0-9-]+)==(\S+)", (ROOT / ".ci/lock-image.txt").read_text())
    held = {(re.sub("[._]", "-", one["name"]).lower(), one["version"]) for one in told["components"]}
    assert held == {(name, version) for name, version in pinned if name != "tzdata"}
    assert all(one.get("licenses") or one["name"] == "protobuf" for one in told["components"])
