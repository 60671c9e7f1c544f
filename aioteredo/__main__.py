"""``python -m aioteredo``."""

import sys

from aioteredo._cli import main

if __name__ == "__main__":
    sys.exit(main())
