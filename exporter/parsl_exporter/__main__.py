"""`python -m parsl_exporter`: the command without its console script."""

import sys

from parsl_exporter.cli import main

sys.exit(main())
