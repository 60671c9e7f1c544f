"""``aioteredo backends``: the list of the backends, and why each one cannot be used."""

from __future__ import annotations

import ctypes.util
import errno
import json
import pickle
import re
import socket
import sys
from pathlib import Path

import pytest

from aioteredo import SimulatedBackend, use_backend
from aioteredo._cli.commands import main
from aioteredo._errors import NoDefaultBackendError

from ..support.command import environment, run, write_package
from .marks import linux


def list_backends(env: dict[str, str]) -> dict[str, dict[str, object]]:
    """Return the backends that the command lists as JSON, by their names."""
    result = run("backends", "--json", env=env)
    assert (result.returncode, result.stderr) == (0, "")
    backends = [json.loads(line) for line in result.stdout.splitlines()]
    keys = ["name", "default", "available", "port", "reason"]
    assert all([*b] == keys for b in backends)
    return {backend["name"]: backend for backend in backends}


def test_each_backend_is_listed_with_the_reason_if_unusable(
    package_of_backends: dict[str, str],
) -> None:
    """Backends of other packages are listed too, with the reason if one cannot be used."""
    backends = list_backends(package_of_backends)
    reasons = {name: backend["reason"] for name, backend in backends.items()}
    assert [*backends][:3] == ["iphlpapi", "simulated", "miredo"]

    assert reasons["simulated"] is reasons["none"] is None
    assert isinstance(backends["simulated"]["port"], int)
    assert backends["none"]["port"] is backends["refused"]["port"] is None

    assert reasons["refused"] == "netlink is\nrefused"
    assert "ERROR_GEN_FAILURE" in str(reasons["failing"])
    assert str(reasons["buggy"]).startswith("AttributeError: ")
    assert reasons["exiting"] == "SystemExit: not today →"
    assert "No module named 'no_such_module'" in str(reasons["broken"])

    wrong_platform = "miredo" if sys.platform == "win32" else "iphlpapi"
    assert f"this is {sys.platform}" in str(reasons[wrong_platform])

    for backend in backends.values():
        assert backend["available"] is (backend["reason"] is None)


def test_default_backend_is_marked(package_of_backends: dict[str, str]) -> None:
    """The default is the platform's, or the one that the environment names."""

    def list_defaults() -> list[str]:
        backends = list_backends(package_of_backends)
        return [name for name, backend in backends.items() if backend["default"]]

    assert list_defaults() == (["iphlpapi"] if sys.platform == "win32" else [])

    package_of_backends["AIOTEREDO_BACKEND"] = "refused"
    assert list_defaults() == ["refused"]

    package_of_backends["AIOTEREDO_BACKEND"] = "misspelt"
    backend = list_backends(package_of_backends)["misspelt"]
    assert backend["default"]
    assert "no such backend" in str(backend["reason"])


def test_text_has_a_line_for_each_backend(package_of_backends: dict[str, str]) -> None:
    """Each backend has one line, in which escapes replace characters outside of ASCII."""
    variables = {"AIOTEREDO_BACKEND": "simulated", "PYTHONIOENCODING": "ascii"}
    result = run("backends", env=package_of_backends | variables)
    assert (result.returncode, result.stderr) == (0, "")

    lines = result.stdout.splitlines()
    (port,) = [line for line in lines if line.startswith("simulated  ")]
    assert re.fullmatch(r"simulated  available \(default\): port [0-9]+", port)
    assert "none       available: no port" in lines
    assert "refused    not available: netlink is refused" in lines
    assert "exiting    not available: SystemExit: not today \\u2192" in lines


def test_exception_of_a_backend_is_its_reason(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An exception of one backend does not keep the others from being listed."""

    class Broken(SimulatedBackend):
        def get_port(self) -> int | None:
            raise ZeroDivisionError

    monkeypatch.setattr("aioteredo._selection._by_name", {"simulated": Broken()})
    monkeypatch.setenv("AIOTEREDO_BACKEND", "misspelt")
    assert main(["backends", "--json"]) == 0
    lines = capsys.readouterr().out.splitlines()
    reasons = {b["name"]: b["reason"] for b in map(json.loads, lines)}
    assert reasons["simulated"] == "ZeroDivisionError: "
    assert "no such backend" in reasons["misspelt"]


def test_default_without_a_name_marks_no_backend(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """If the default is an object, no backend of the list is marked."""
    with use_backend(SimulatedBackend()):
        assert main(["backends"]) == 0
    assert "(default)" not in capsys.readouterr().out


def test_error_without_a_usable_backend_can_be_pickled() -> None:
    """The message says that no backend is usable, even after pickling."""
    error = pickle.loads(pickle.dumps(NoDefaultBackendError()))
    assert str(error).endswith("or AIOTEREDO_BACKEND; usable here: none")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has a default")
@pytest.mark.parametrize("arguments", [["port"], ["watch"], ["exec", "--", "true"]])
def test_command_without_a_default_names_the_option_and_usable_backends(
    arguments: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The error names ``--backend``, but no argument or function of the library."""
    monkeypatch.delenv("AIOTEREDO_BACKEND", raising=False)
    monkeypatch.setattr(
        "aioteredo._availability.backend_names", lambda: ["iphlpapi", "simulated"]
    )
    assert main(arguments) == 1
    assert capsys.readouterr().err == (
        f"aioteredo: there is no default Teredo backend on {sys.platform}; choose one with "
        "--backend or AIOTEREDO_BACKEND; usable here: 'simulated'\n"
    )


def test_library_without_teredo_functions_names_the_missing_one(
    tmp_path: Path,
) -> None:
    """If a library lacks a Teredo function, the reason names that function."""
    source = """
import sys
from aioteredo.backends.iphlpapi import IphlpapiBackend

def backend():
    return IphlpapiBackend("kernel32.dll" if sys.platform == "win32" else {library!r})
"""
    library = ctypes.util.find_library("c")
    write_package(
        tmp_path, "other", source.format(library=library), "other = other:backend"
    )
    reason = str(list_backends(environment(tmp_path))["other"]["reason"])
    assert "lacks NotifyTeredoPortChange" in reason


@linux
def test_refused_netlink_socket_names_the_setting_of_systemd() -> None:
    """If netlink is refused, the reason names ``RestrictAddressFamilies``."""
    if sys.platform != "linux":
        raise NotImplementedError
    import pwd

    from ..support.seccomp import on_a_thread, refuse

    if "miredo" not in [user.pw_name for user in pwd.getpwall()]:
        pytest.skip("without the user miredo, the backend does not try to use netlink")
    reasons = []

    def list_without_netlink() -> None:
        refuse("socket", errno.EAFNOSUPPORT, socket.AF_NETLINK)
        reasons.append(list_backends(environment())["miredo"]["reason"])

    on_a_thread(list_without_netlink)
    assert "RestrictAddressFamilies" in str(reasons[0])


@linux
def test_missing_user_miredo_is_the_reason(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """If there is no user ``miredo``, the reason says so."""
    monkeypatch.setattr("aioteredo.backends.miredo.USER", "no-such-user")
    monkeypatch.setattr("aioteredo._selection._by_name", {})
    assert main(["backends"]) == 0
    assert "miredo     not available: there is no user 'no-such-user'" in (
        capsys.readouterr().out
    )
