"""`python -m parsl_exporter.workflow.child`: the exporter that `serve` has started beside a workflow."""

import sys

from parsl_exporter.base.signals import Signals


def main() -> int:
    """Do what the first line of standard input says, and give the exit status."""
    signals = Signals()
    from parsl_exporter.base.process import suit_process  # noqa: PLC0415

    suit_process()
    from parsl_exporter.workflow.beside import serve_beside  # noqa: PLC0415  # in that time a signal would end the process

    return serve_beside(signals)


if __name__ == "__main__":
    sys.exit(main())
