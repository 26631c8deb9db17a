"""Starts, stops and breaks a PostgreSQL server in a temporary folder, as a user without privileges."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from support.processes import free_port, required

USER = "postgres"
PASSWORD = "s3cret-pw"  # of a server that lives for one test
_OPTIONS = ("fsync=off", "max_connections=40", "autovacuum_naptime=1s", "listen_addresses=127.0.0.1")


def programs() -> Path:
    """The folder of the newest server's programs, which Debian keeps off the PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda p: float(p.parts[-3]))
    return found[-1].parent if found else Path(required("postgres")).parent


class Server:
    """One server. Its superuser is `postgres`; the role `reader` may only read, and needs `PASSWORD`."""

    def __init__(self, folder: Path, port: int, options: tuple[str, ...] = ()) -> None:
        self.folder = folder
        self.port = port
        self._bin = programs()
        self._options = (*_OPTIONS, *options)
        self._run("initdb", "-D", self.data, "-U", USER, "-A", "trust", "--no-sync", "-E", "UTF8")
        self.trust(everyone=True)

    @property
    def data(self) -> Path:
        """The folder of its files."""
        return self.folder / "data"

    def url(self, database: str, user: str = USER, port: int | None = None) -> str:
        """A SQLAlchemy URL over TCP."""
        return f"postgresql+psycopg://{user}@127.0.0.1:{port or self.port}/{database}"

    def trust(self, *, everyone: bool) -> None:
        """Let everyone in, or the superuser alone, the reader with its password."""
        others = "trust" if everyone else "scram-sha-256"
        lines = f"local all all trust\nhost all {USER} all trust\nhost all all all {others}\n"
        lines += "local replication all trust\nhost replication all all trust\n"
        (self.data / "pg_hba.conf").write_text(lines)

    def start(self) -> None:
        """Start it and wait until it answers."""
        settings = " ".join(f"-c {option}" for option in self._options)
        self._run(
            "pg_ctl", "start", "-w", "-D", self.data, "-l", self.folder / "log",
            "-o", f"-p {self.port} -k {self.folder} {settings}",
        )  # fmt: skip

    def stop(self, mode: str = "fast") -> None:
        """Stop it; `immediate` is a crash."""
        self._run("pg_ctl", "stop", "-w", "-D", self.data, "-m", mode)

    def reload(self) -> None:
        """Have it read its configuration again."""
        self._run("pg_ctl", "reload", "-D", self.data)

    def copy_to(self, other: Path, port: int) -> Server:
        """A server that starts from this one's files as they are now: a base backup."""
        copy = object.__new__(Server)
        copy.folder, copy.port, copy._bin, copy._options = other, port, self._bin, self._options
        self._run(
            "pg_basebackup",
            "-D",
            copy.data,
            "-h",
            self.folder,
            "-p",
            str(self.port),
            "-U",
            USER,
            "-c",
            "fast",
        )
        return copy

    def execute(self, database: str, *statements: str) -> None:
        """Run statements as the superuser, each a transaction of its own."""
        with self.connect(database) as connection:
            for statement in statements:
                connection.execute(statement)

    def ask(self, database: str, question: str) -> object:
        """The first value that a query gives."""
        with self.connect(database) as connection:
            row = connection.execute(question).fetchone()
            return None if row is None else row[0]

    def connect(self, database: str) -> psycopg.Connection[tuple[object, ...]]:
        """A connection of the superuser, over the local socket."""
        return psycopg.connect(
            host=str(self.folder), port=self.port, user=USER, dbname=database, autocommit=True
        )

    def create(self, database: str) -> None:
        """Make an empty database that `reader` may read."""
        self.execute("postgres", f'CREATE DATABASE "{database}"')
        with self.connect(database) as connection:
            known = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = 'reader'").fetchone()
            if known is None:
                connection.execute(f"CREATE ROLE reader LOGIN PASSWORD '{PASSWORD}'")
            connection.execute("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO reader")

    def restore(self, database: str, dump: str) -> None:
        """Run what pg_dump wrote."""
        self._run("psql", "-q", "-v", "ON_ERROR_STOP=1", "-h", self.folder, "-p", str(self.port), "-U", USER,
                  "-d", database, given=dump)  # fmt: skip

    def _run(self, program: str, *arguments: str | Path, given: str | None = None) -> None:
        command = [str(self._bin / program), *map(str, arguments)]
        if os.geteuid() == 0:
            command = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", *command]
        # A started server keeps what it inherits open: its output must not be a pipe that is waited for.
        with tempfile.TemporaryFile() as output:
            done = subprocess.run(
                command, stdout=output, stderr=output, input=given, encoding="utf-8", cwd="/", check=False
            )
            output.seek(0)
            assert done.returncode == 0, f"{program}: {output.read().decode()}"


@contextmanager
def folder() -> Iterator[Path]:
    """A temporary folder that the server's user owns."""
    path = Path(tempfile.mkdtemp(prefix="parsl-exporter-pg-"))
    try:
        if os.geteuid() == 0:
            user = pwd.getpwnam(USER)
            os.chown(path, user.pw_uid, user.pw_gid)
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def running(*options: str) -> Iterator[Server]:
    """A server that ends with the block."""
    with folder() as path:
        server = Server(path, free_port(), options)
        server.start()
        try:
            yield server
        finally:
            if (server.data / "postmaster.pid").exists():
                server.stop("immediate")
