"""Run the end-to-end tests in shards, each on a testbed of its own, side by side."""

import argparse
import subprocess
import sys
import threading
from pathlib import Path

ENCLOSED = Path(__file__).parent / "testbed" / "enclosed"
DEFAULT_SHARDS = 3


def main() -> int:
    """Run all shards and return 0 when each of them passed; further arguments go to pytest."""
    parser = argparse.ArgumentParser(prog="python -m e2e.shards", description=__doc__)
    parser.add_argument("--shards", type=int, default=DEFAULT_SHARDS)
    options, further = parser.parse_known_args()
    running = [_start(number, options.shards, further) for number in range(1, options.shards + 1)]
    readers = [threading.Thread(target=_relay, args=(number, one)) for number, one in enumerate(running, 1)]
    for reader in readers:
        reader.start()
    try:
        codes = [one.wait() for one in running]
    except KeyboardInterrupt:
        for one in running:
            one.terminate()
        return 130
    for reader in readers:
        reader.join()
    return max(codes)


def _start(number: int, shards: int, further: list[str]) -> subprocess.Popen[str]:
    command = [str(ENCLOSED), sys.executable, "-m", "pytest", "-v", f"--shard={number}/{shards}", "e2e", *further]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def _relay(number: int, one: subprocess.Popen[str]) -> None:
    assert one.stdout is not None
    for line in one.stdout:
        print(f"[{number}] {line}", end="", flush=True)


if __name__ == "__main__":
    sys.exit(main())
