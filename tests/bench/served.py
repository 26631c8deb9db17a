"""The longest read transaction while scrapes are served and another source makes its first read.

python tests/bench/served.py FILE
"""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from another_process import get

_EVERY = 0.2
"""Seconds between two scrapes."""


def main() -> None:
    path = Path(sys.argv[1]).absolute()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    # The next poll is an hour away: what the page says is said of the first read.
    with tempfile.TemporaryDirectory() as folder:
        second = Path(folder) / "second.db"
        second.symlink_to(path)
        command = [sys.executable, "-m", "parsl_exporter", str(path), str(second)]
        exporter = subprocess.Popen(
            [*command, "--web.listen-address", f"127.0.0.1:{port}", "--poll.interval", "1h"],
            stderr=subprocess.DEVNULL,
        )
        try:
            begin = time.perf_counter()
            scrapes: list[float] = []
            while get(f"{url}/-/ready")[0] != 200 and time.perf_counter() - begin < 1200:
                at = time.perf_counter()
                if get(f"{url}/metrics")[0] == 200:
                    scrapes.append(time.perf_counter() - at)
                time.sleep(_EVERY)
            taken = time.perf_counter() - begin
            time.sleep(1)
            page = get(f"{url}/metrics")[1]
        finally:
            exporter.terminate()
            exporter.wait(timeout=10)
    longest = [
        float(v) for v in re.findall(r"^parsl_exporter_longest_read_seconds.*? (\S+)$", page, re.MULTILINE)
    ]
    print(
        f"two first reads at once in {taken:.0f} s beside {len(scrapes)} scrapes: longest read "
        f"{', '.join(f'{v * 1000:.0f} ms' for v in longest)}; slowest scrape {max(scrapes) * 1000:.0f} ms"
    )


if __name__ == "__main__":
    main()
