"""What psycopg is told of a database's URL."""

from __future__ import annotations

import pytest
from sqlalchemy.engine import make_url

from parsl_exporter.readers.postgresql.session import connect_arguments


@pytest.mark.parametrize(
    "rest",
    [
        "/db",
        "reader@host/db",
        "reader:p%40ss%2Fword@[::1]:5433/d%20b",
        "host:5433/db?sslmode=verify-full&sslrootcert=/a/b&application_name=x",
        "reader@/db?host=/var/run/postgresql",
        "reader@/db?host=one:5433&host=two:5434",
        "reader@/db?host=one,two&port=1,2",
        "reader@host:1/db?port=2",
        "a/db?user=b&dbname=c&password=d",
        "host/db?options=-c%20work_mem%3D1MB&options=two",
    ],
)
def test_it_is_what_sqlalchemy_would_tell_it(rest: str) -> None:
    url = make_url(f"postgresql+psycopg://{rest}")
    assert connect_arguments(url) == url.get_dialect()().create_connect_args(url)[1]
