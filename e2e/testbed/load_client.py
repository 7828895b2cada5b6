"""Send requests at a fixed rate whatever the answers take, and write one line for each; runs as a process."""

import argparse
import asyncio
import json
import random
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TextIO

import aiohttp

from e2e.testbed import credentials
from e2e.testbed.kube import AsyncKubeClient, Object

MAX_IN_FLIGHT = 1000
FIRST_ENDPOINT_SECONDS = 5.0
SERVICE_LABEL = "kubernetes.io%2Fservice-name%3D"

Resolve = Callable[[], str | None]
"""Return the URL for the next request, None when there is nobody to ask."""


class Endpoints:
    """Know the ready endpoints of a Service, as an ingress controller does."""

    def __init__(self) -> None:
        self.known = asyncio.Event()
        self._slices: dict[str, list[str]] = {}

    async def follow(self, kube: AsyncKubeClient, namespace: str, service: str) -> None:
        """Follow the Service's EndpointSlices until cancelled."""
        path = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
        async for kind, content in kube.follow(path, SERVICE_LABEL + service):
            if kind == "LISTED":
                self._slices = {item["metadata"]["name"]: _ready(item) for item in content["items"]}
            elif kind == "DELETED":
                self._slices.pop(content["metadata"]["name"], None)
            else:
                self._slices[content["metadata"]["name"]] = _ready(content)
            if self.pick():
                self.known.set()

    def pick(self) -> str | None:
        """Return a random ready endpoint as host:port."""
        everyone = [endpoint for endpoints in self._slices.values() for endpoint in endpoints]
        return random.choice(everyone) if everyone else None


def _ready(endpoint_slice: Object) -> list[str]:
    port = (endpoint_slice.get("ports") or [{"port": 80}])[0]["port"]
    return [
        f"{address}:{port}"
        for endpoint in endpoint_slice.get("endpoints") or []
        if endpoint["conditions"].get("ready")
        for address in endpoint["addresses"]
    ]


class Caller:
    """Send the requests of one load."""

    def __init__(self, session: aiohttp.ClientSession, options: argparse.Namespace, output: TextIO) -> None:
        self._session = session
        self._options = options
        self._headers = dict(header.split("=", 1) for header in options.header)
        self._output = output
        self._in_flight: set[asyncio.Task[None]] = set()

    async def call_until(self, stopped: asyncio.Event, resolve: Resolve) -> None:
        """Start requests on time until `stopped`, the duration or the count is reached; then let them end."""
        began = time.monotonic()
        count = min(self._options.max_requests, int(self._options.seconds * self._options.rate))
        for number in range(count):
            delay = began + number / self._options.rate - time.monotonic()
            with suppress(TimeoutError):
                await asyncio.wait_for(stopped.wait(), max(delay, 0))
            if stopped.is_set():
                break
            if len(self._in_flight) < MAX_IN_FLIGHT:
                task = asyncio.create_task(self._call(resolve()))
                self._in_flight.add(task)
                task.add_done_callback(self._in_flight.discard)
        await asyncio.gather(*self._in_flight)

    async def _call(self, url: str | None) -> None:
        at, began = time.time(), time.perf_counter()
        status, version, error = 0, "", ""
        if url is None:
            error = "no ready endpoint"
        else:
            try:
                async with self._session.get(url, headers=self._headers, allow_redirects=False) as answer:
                    await answer.read()
                    status, version = answer.status, answer.headers.get("x-version", "")
            except (aiohttp.ClientError, TimeoutError, OSError) as problem:
                error = f"{type(problem).__name__}: {problem}"
        latency = (time.perf_counter() - began) * 1000
        record = {"at": at, "ms": round(latency, 2), "status": status, "version": version, "error": error}
        # Whole lines at once: the parent reads while we write.
        self._output.write(json.dumps({**record, "url": url if error else ""}) + "\n")
        self._output.flush()


async def main(options: argparse.Namespace, output: TextIO) -> None:
    """Run the load that the options describe."""
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    timeout = aiohttp.ClientTimeout(total=options.timeout)
    direct = options.service is not None
    connector = aiohttp.TCPConnector(limit=0, force_close=direct)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        caller = Caller(session, options, output)
        if direct:
            await _call_endpoints(caller, stopped, options)
        else:
            await caller.call_until(stopped, lambda: options.url)


async def _call_endpoints(caller: Caller, stopped: asyncio.Event, options: argparse.Namespace) -> None:
    namespace, service = options.service.split("/")
    endpoints = Endpoints()

    def resolve() -> str | None:
        endpoint = endpoints.pick()
        return f"http://{endpoint}{options.path}" if endpoint else None

    async with aiohttp.ClientSession() as session:
        kube = AsyncKubeClient(session, Path(options.authority), credentials.LOAD)
        follower = asyncio.create_task(endpoints.follow(kube, namespace, service))
        with suppress(TimeoutError):
            await asyncio.wait_for(endpoints.known.wait(), FIRST_ENDPOINT_SECONDS)
        await caller.call_until(stopped, resolve)
        follower.cancel()


def parse_options(arguments: list[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser()
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("--url", help="call through the mesh, connections kept open")
    target.add_argument("--service", help="NAMESPACE/NAME: call its ready endpoints, a new connection each")
    parser.add_argument("--path", default="/")
    parser.add_argument("--authority", help="certificate of the API server, for --service")
    parser.add_argument("--rate", type=float, required=True, help="requests per second")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--max-requests", type=int, required=True)
    parser.add_argument("--timeout", type=float, default=10.0)
    parser.add_argument("--header", action="append", default=[], help="NAME=VALUE")
    parser.add_argument("--output", required=True)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    parsed = parse_options(sys.argv[1:])
    with Path(parsed.output).open("a") as records:
        asyncio.run(main(parsed, records))
