#!/usr/bin/env python3
"""Take one release through a gate of the controller, from a pipeline: wait for it, test it, open, wait for its end.

Needs Python 3.9 and nothing else.  The token is read from the file that --token-file names, or from CANARY_TOKEN.
Exit codes: 0 promoted, 1 failed or rolled back, 2 refused or wrongly called, 3 superseded, 4 out of time.
"""

import argparse
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request

PROMOTED, FAILED, REFUSED, SUPERSEDED, OUT_OF_TIME = 0, 1, 2, 3, 4
PASSING = {409, 429, 500, 502, 503, 504}
"""Answers after which the same may be asked again."""
PAUSE = 2.0


class End(Exception):
    """The script is done: an exit code, and why."""

    def __init__(self, code, why):
        super().__init__(why)
        self.code = code


def call(options, path, body=None):
    """Return the answer to a request, None when it is to be asked again."""
    token = os.environ.get("CANARY_TOKEN", "")
    if options.token_file:
        with open(options.token_file, encoding="utf-8") as file:
            token = file.read().strip()
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(options.url.rstrip("/") + path, data=data)
    request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as fault:
        said = fault.read().decode("utf-8", "replace")
        if fault.code in PASSING:
            print(f"asking again after {fault.code}: {said}", flush=True)
            return None
        raise End(REFUSED, f"{path} was answered {fault.code}: {said}") from None
    except (urllib.error.URLError, OSError, ValueError) as fault:
        print(f"asking again after {fault}", flush=True)
        return None


def look(options, until):
    """Return the Canary as it is now."""
    namespace, name = options.canary.split("/")
    while time.monotonic() < until:
        shown = call(options, f"/v1/namespaces/{namespace}/canaries/{name}")
        if shown is not None:
            return shown
        time.sleep(PAUSE)
    raise End(OUT_OF_TIME, "out of time")


def own_revision(options, until):
    """Return the revision that runs our image, once the target shows it."""
    while True:
        shown = look(options, until)
        if options.image in ((shown["target"] or {}).get("images") or ()):
            return shown["target"]["revision"]
        time.sleep(PAUSE)


def end_of(shown, revision):
    """Raise End when the release of a revision is over."""
    status = shown["status"]
    superseded = (shown["target"] or {}).get("revision") != revision
    serves = (status.get("revision") or {}).get("primary") == revision
    if serves and (superseded or shown["phase"] in ("Succeeded", "Initialized")):
        raise End(PROMOTED, f"revision {revision} is promoted")
    if shown["phase"] == "Failed" and status.get("lastAppliedSpec") == revision:
        raise End(FAILED, f"revision {revision} failed: {shown['message']}")
    if superseded:
        raise End(SUPERSEDED, f"revision {revision} was superseded: the target shows another one by now")


def waits_at(shown, gate, revision):
    """Return whether our revision is held by our gate, which nobody opened for it yet."""
    known = shown["status"].get("revision") or {}
    present = known.get("pending") if shown["phase"] == "Waiting" else known.get("candidate")
    held = [one for one in shown["gates"] if one["name"] == gate and one["holds"]]
    return present == revision and any(not (one["open"] and one["revision"] in ("", revision)) for one in held)


def test(command, revision):
    """Run the tests that our gate stands for."""
    if command and subprocess.call(command, env={**os.environ, "CANARY_REVISION": revision}) != 0:
        raise End(FAILED, f"{command[0]} failed; the gate stays closed for revision {revision}")


def release(options, command):
    """See the release through; always raises End."""
    until = time.monotonic() + options.timeout
    revision, message, tested = own_revision(options, until), "", False
    print(f"{options.image} is revision {revision}", flush=True)
    while True:
        shown = look(options, until)
        if shown["message"] != message:
            message = shown["message"]
            print(f"{shown['phase']} {shown['weight']} %: {message}", flush=True)
        end_of(shown, revision)
        if waits_at(shown, options.gate, revision):
            if not tested:
                test(command, revision)
                tested = True
            path = f"/v1/namespaces/{shown['namespace']}/canaries/{shown['name']}/gates/{options.gate}:open"
            if call(options, path, {"revision": revision}) is not None:
                print(f"gate {options.gate} is open for revision {revision}", flush=True)
        time.sleep(PAUSE)


def main():
    """Read the command line and return the exit code."""
    words = sys.argv[1:]
    command = words[words.index("--") + 1 :] if "--" in words else []
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], usage="%(prog)s [options] [-- TEST...]")
    parser.add_argument("--url", required=True, help="where the controller's API is")
    parser.add_argument("--canary", required=True, help="NAMESPACE/NAME")
    parser.add_argument("--image", required=True, help="the image that this pipeline built")
    parser.add_argument("--gate", default="gate", help="the gate to open (default: gate)")
    parser.add_argument("--timeout", type=float, default=3600, help="seconds for all of it (default: 3600)")
    parser.add_argument("--token-file", help="file with the token (default: the variable CANARY_TOKEN)")
    options = parser.parse_args(words[: words.index("--")] if "--" in words else words)
    if options.canary.count("/") != 1:
        parser.error("--canary: give NAMESPACE/NAME")
    try:
        release(options, command)
    except End as end:
        print(end, flush=True)
        return end.code


if __name__ == "__main__":
    sys.exit(main())
