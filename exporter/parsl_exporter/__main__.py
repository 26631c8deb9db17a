"""`parsl-exporter` and `python -m parsl_exporter`: note signals, and only then import what takes a while."""

import sys

from parsl_exporter.signals import Signals


def main() -> int:
    """Run the command of the process's arguments and give its exit status."""
    signals = Signals()
    from parsl_exporter import cli  # noqa: PLC0415  # half a second, in which a signal would end the process

    return cli.main(sys.argv[1:], signals)


if __name__ == "__main__":
    sys.exit(main())
