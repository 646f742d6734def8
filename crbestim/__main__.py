"""Run ``python -m crbestim``."""

import sys

from .io._command import main

if __name__ == "__main__":
    sys.exit(main())
