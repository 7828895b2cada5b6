"""Command line: `python -m e2e.testbed setup` and, inside the enclosure, `python -m e2e.testbed up`."""

import argparse
import signal
import sys

from e2e.testbed.errors import TestbedError
from e2e.testbed.setup import setup


def main() -> int:
    """Run one command and return its exit code; failures end with one line."""
    parser = argparse.ArgumentParser(prog="python -m e2e.testbed")
    commands = {"setup": _setup, "up": _up}
    parser.add_argument("command", choices=commands)
    try:
        commands[parser.parse_args().command]()
    except TestbedError as error:
        print(f"testbed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _setup() -> None:
    cache = setup()
    print(f"testbed tools are ready in {cache.root}")


def _up() -> None:
    from e2e.testbed.testbed import Testbed

    with Testbed.create() as testbed:
        signals = {signal.SIGINT, signal.SIGTERM}
        signal.pthread_sigmask(signal.SIG_BLOCK, signals)
        print(testbed.describe(), flush=True)
        signal.sigwait(signals)


if __name__ == "__main__":
    sys.exit(main())
