"""`parsl-exporter` and `python -m parsl_exporter`: note signals, and only then import what takes a while."""

import sys

from parsl_exporter.base.signals import Signals


def main() -> int:
    """Run the command of the process's arguments and give its exit status."""
    signals = Signals()
    from parsl_exporter.cli.main import main as run  # noqa: PLC0415  # in that time a signal would end the process

    return run(sys.argv[1:], signals)


if __name__ == "__main__":
    sys.exit(main())
