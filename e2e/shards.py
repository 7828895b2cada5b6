"""Run the end-to-end tests in shards, each on a testbed of its own, side by side.

The test that keeps the book's rhythm waits most of the time and has a shard of its own.
"""

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
    shares = [str(number) for number in range(1, options.shards + 1)]
    running = [_start(f"--shard={number}/{options.shards}", "not book", further) for number in shares]
    running.append(_start("--shard=1/1", "book", further))
    readers = [threading.Thread(target=_relay, args=pair) for pair in zip([*shares, "book"], running, strict=True)]
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


def _start(shard: str, marked: str, further: list[str]) -> subprocess.Popen[str]:
    command = [str(ENCLOSED), sys.executable, "-m", "pytest", "-v", shard, "-m", marked, "e2e", *further]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def _relay(name: str, one: subprocess.Popen[str]) -> None:
    assert one.stdout is not None
    for line in one.stdout:
        print(f"[{name}] {line}", end="", flush=True)


if __name__ == "__main__":
    sys.exit(main())
