"""Run a command in private mount, network and process namespaces; everything dies when it ends.

Standard library only: this runs before any environment is known.
"""

import ctypes
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

# Set inside, to the number that process 1 of the enclosure has outside.
MARKER = "CANARY_TESTBED_ENCLOSED"

_CLONE_NEWNS = 0x00020000
_CLONE_NEWPID = 0x20000000
_CLONE_NEWNET = 0x40000000
_PR_SET_PDEATHSIG = 1
_FORWARDED_SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_libc = ctypes.CDLL(None, use_errno=True)


def main(command: Sequence[str]) -> int:
    """Run `command` enclosed and return its exit code."""
    if not command:
        print("usage: e2e/testbed/enclosed COMMAND [ARGUMENT...]", file=sys.stderr)
        return 2
    missing = _missing()
    if missing:
        print(f"the testbed cannot be enclosed: {missing}", file=sys.stderr)
        return 2
    outside = os.getpid()
    if _libc.unshare(_CLONE_NEWNS | _CLONE_NEWNET | _CLONE_NEWPID) != 0:
        reason = os.strerror(ctypes.get_errno())
        print(f"the testbed cannot be enclosed: unshare: {reason}", file=sys.stderr)
        return 2
    child = os.fork()
    if child == 0:
        _run_as_init(command, outside)
    return _wait_for(child)


def _missing() -> str | None:
    if os.geteuid() != 0:
        return "root is needed for network namespaces"
    absent = [tool for tool in ("ip", "mount") if shutil.which(tool) is None]
    return f"command {absent[0]} is missing, run 'python -m e2e.testbed setup'" if absent else None


def _run_as_init(command: Sequence[str], outside: int) -> NoReturn:
    """Be process 1 of the new namespaces: when this one ends the kernel ends all others."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() not in (0, outside):
        os._exit(1)
    try:
        # The old /proc is still mounted and knows our process by its number outside.
        os.environ[MARKER] = os.readlink("/proc/self")
        _prepare_namespaces()
        worker = os.fork()
        if worker == 0:
            _execute(command)
        code = _wait_for(worker)
    except BaseException as error:
        print(f"the testbed cannot be enclosed: {error}", file=sys.stderr)
        code = 2
    sys.stderr.flush()
    os._exit(code)


def _prepare_namespaces() -> None:
    for step in (
        "mount --make-rprivate /",
        "mount -t proc proc /proc",
        "mount -t tmpfs tmpfs /run",
        "ip link set lo up",
    ):
        subprocess.run(step.split(), check=True)


def _execute(command: Sequence[str]) -> NoReturn:
    # Python ignores SIGPIPE and children would inherit that.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        os.execvp(command[0], list(command))
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr)
        os._exit(127)


def _wait_for(child: int) -> int:
    """Pass signals on, reap orphans, and return the exit code of `child` as a shell would."""

    def forward(number: int, frame: FrameType | None) -> None:
        os.kill(child, number)

    for number in _FORWARDED_SIGNALS:
        signal.signal(number, forward)
    # The terminal sends Ctrl-C to the whole group: the command gets it by itself and decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        pid, status = os.wait()
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
