"""The systemd unit of docs/recipes/systemd.md."""

from __future__ import annotations

import configparser
from typing import Final

from ..support.documents import block

UNIT: Final = block("docs/recipes/systemd.md", "ini", "[Unit]")


def service_section() -> configparser.SectionProxy:
    """Return the section [Service] of the recipe's unit."""
    # A strict parser would refuse the second SystemCallFilter, which removes system calls
    # from the list of the first.
    parser = configparser.RawConfigParser(delimiters="=", strict=False)
    parser.read_string(UNIT.replace("\\\n", " "))
    return parser["Service"]
