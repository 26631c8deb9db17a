"""Files that only this user can have written, each whole or not at all."""

from __future__ import annotations

import itertools
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from support.exporter_process import environment
from support.processes import limited
from support.source_harness import NOBODY, in_memory

from parsl_exporter.base.errors import CheckpointFault
from parsl_exporter.checkpoint.folder import NAME, Folder

PARTS = [bytearray(part) for part in (b"first", b"", b"third" * 20)]
WALL = 1_800_000_000.0


@pytest.fixture
def state() -> Iterator[Path]:
    with in_memory() as folder:
        yield folder / "state"


def written(state: Path) -> Path:
    """A folder with a checkpoint: give that one's file."""
    with closing(Folder(state)) as folder:
        folder.write("a", PARTS, WALL)
    return state / NAME / "a.checkpoint"


def read(state: Path) -> list[bytearray] | None:
    with closing(Folder(state)) as folder:
        found = folder.read("a")
        return None if found is None else found[0]


def as_fifo(file: Path) -> None:
    file.unlink()
    os.mkfifo(file, 0o600)


def test_what_was_written_is_read_by_this_user_alone(state: Path) -> None:
    file = written(state)
    with closing(Folder(state)) as folder:
        assert folder.read("a") == (PARTS, WALL)
        assert folder.read("b") is None
        folder.write("a", PARTS[:1], WALL + 1)
        assert folder.read("a") == (PARTS[:1], WALL + 1)
        folder.touch("a", WALL + 2)
        folder.touch("b", WALL + 2)
        assert folder.read("a") == (PARTS[:1], WALL + 2)
        assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
        folder.remove("a")
        folder.remove("a")
        assert folder.read("a") is None
    assert [path.name for path in file.parent.iterdir()] == ["lock"]


def test_any_other_byte_is_noticed(state: Path) -> None:
    file = written(state)
    whole = file.read_bytes()
    with closing(Folder(state)) as folder:
        for place, bit in itertools.product(range(len(whole)), (1, 128)):
            other = bytearray(whole)
            other[place] ^= bit
            file.write_bytes(other)
            with pytest.raises(CheckpointFault, match="it is damaged"):
                folder.read("a")
        for length in range(len(whole)):
            file.write_bytes(whole[:length])
            with pytest.raises(CheckpointFault, match="it is damaged"):
                folder.read("a")
        file.write_bytes(whole + b"\0")
        with pytest.raises(CheckpointFault, match="it is damaged"):
            folder.read("a")
        file.write_bytes(whole)
        assert folder.read("a") is not None


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda file: file.chmod(0o640), "others may use it (mode 640); remove it, or chmod go= it"),
        (lambda file: file.parent.chmod(0o750), "others may use it (mode 750); remove it, or chmod go= it"),
        (lambda file: os.chown(file, NOBODY, -1), "belongs to another user; remove it"),
        (lambda file: os.chown(file.parent, NOBODY, -1), "belongs to another user; remove it"),
        (as_fifo, "it is no regular file"),
        (lambda file: os.truncate(file, 1 << 40), "it is larger than 512 MiB"),
    ],
)
def test_what_another_user_may_have_written_is_not_read(
    state: Path, spoil: Callable[[Path], object], why: str
) -> None:
    file = written(state)
    if os.geteuid() != 0 and "another user" in why:
        pytest.skip("only root can give a file away")
    spoil(file)
    with pytest.raises(CheckpointFault) as refused:
        read(state)
    assert str(refused.value).endswith(why)


def test_a_link_is_not_followed(state: Path) -> None:
    file = written(state)
    file.rename(file.with_name("elsewhere"))
    file.symlink_to("elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        read(state)
    file.parent.rename(state / "moved")
    (state / NAME).symlink_to("moved")
    with pytest.raises(CheckpointFault, match="is no folder; move it away"):
        read(state)


def test_no_file_lies_beside_those_of_parsl(state: Path) -> None:
    state.mkdir()
    (state / "monitoring.db").touch()
    with pytest.raises(CheckpointFault, match="is a folder of Parsl's; give one that is the exporter's own"):
        Folder(state)
    assert [path.name for path in state.iterdir()] == ["monitoring.db"]


def test_one_exporter_has_it_at_a_time(state: Path) -> None:
    with (
        closing(Folder(state)),
        pytest.raises(CheckpointFault, match="another exporter uses it; give each its own"),
    ):
        Folder(state)
    Folder(state).close()


def test_one_that_cannot_be_written_leaves_the_one_before(state: Path) -> None:
    """As on a full disk, or at the end of a quota."""
    file = written(state)
    with closing(Folder(state)) as folder:
        with limited(resource.RLIMIT_FSIZE, 1_000), pytest.raises(OSError, match="File too large"):
            folder.write("a", [b"x" * 2_000], WALL + 1)
        assert folder.read("a") == (PARTS, WALL)
    assert sorted(path.name for path in file.parent.iterdir()) == ["a.checkpoint", "lock"]


_WRITING = """
import sys
from pathlib import Path
from parsl_exporter.checkpoint.folder import Folder
folder = Folder(Path(sys.argv[1]))
number = 0
while True:
    folder.write("a", [number.to_bytes(8, "big"), bytes([number % 256]) * 300_000], float(number))
    print(number, flush=True)
    number += 1
"""


def test_whoever_is_killed_while_it_writes_leaves_a_whole_one(state: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", _WRITING, str(state)], env=environment(), stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    last = int(process.stdout.readline())
    for _ in range(30):
        last = int(process.stdout.readline())
    process.send_signal(signal.SIGKILL)
    last = max([last, *map(int, process.stdout.read().split()[:-1])])
    process.wait()
    process.stdout.close()
    parts = read(state)
    assert parts is not None
    number = int.from_bytes(parts[0], "big")
    assert number >= last
    assert parts[1] == bytes([number % 256]) * 300_000
    written(state)
    with closing(Folder(state)) as folder:
        folder.prune(WALL * 2)
    assert [path.name for path in (state / NAME).iterdir()] == ["lock"]


def test_what_nobody_keeps_up_goes(state: Path) -> None:
    written(state)
    with closing(Folder(state)) as folder:
        folder.write("b", PARTS, WALL - 100)
        (state / NAME / "c.new").touch()
        os.utime(state / NAME / "c.new", (0, 0))
        folder.prune(WALL - 50)
        assert sorted(path.name for path in (state / NAME).iterdir()) == ["a.checkpoint", "lock"]
