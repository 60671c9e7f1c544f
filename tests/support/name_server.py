"""A BIND in the lab, beside the Teredo server, with the configuration of a test."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from .miredo_lab import _PATH, Lab, end
from .waiting import wait_until

ADDRESS = "192.0.2.2"

# Nothing outside of the directory is read or written.
_OPTIONS = """
options {{
    directory "{directory}";
    listen-on {{ {address}; }};
    listen-on-v6 {{ none; }};
    pid-file none;
    session-keyfile none;
    recursion no;
    dnssec-validation no;
}};
controls {{ }};
"""


def missing() -> str | None:
    """Return the reason why no name server can run on this machine, or None."""
    for program in ("named", "nsupdate", "dig", "tsig-keygen"):
        if shutil.which(program, path=_PATH) is None:
            return f"{program} is not installed"
    return None


class NameServer:
    """A name server that starts and ends with a call.

    :param configuration: the zone and its keys, as in named.conf
    """

    def __init__(self, lab: Lab, directory: Path, configuration: str) -> None:
        self._lab = lab
        self._file = directory / "named.conf"
        options = _OPTIONS.format(directory=directory, address=ADDRESS)
        self._file.write_text(options + configuration)
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers. It ends with the lab at the latest."""
        arguments = ("-f", "-n", "1", "-X", "none", "-c", str(self._file))
        self._process = self._lab._start("server", "named", *arguments)
        self._lab._stack.callback(end, self._process)
        wait_until(self._answers, "an answer of the name server")

    def stop(self) -> None:
        """End it."""
        assert self._process is not None
        end(self._process)

    def query(self, name: str, kind: str, *options: str) -> list[str]:
        """Ask for records, and return a line for each."""
        command = ("dig", f"@{ADDRESS}", *(options or ["+short"]), name, kind)
        return self._lab.output(*command).splitlines()

    def _answers(self) -> bool:
        try:
            return bool(self.query("dyn.example.com", "SOA", "+short", "+time=1"))
        except subprocess.CalledProcessError:
            return False
