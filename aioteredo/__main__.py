"""Where the command begins: ``aioteredo``, and ``python -m aioteredo``.

Ctrl-C ends it quietly from its first import on, so none of them is outside of the block.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    :return: 130 after Ctrl-C, and else the exit status that the command has
    """
    try:
        from aioteredo._cli import main as run

        return run(argv)
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
