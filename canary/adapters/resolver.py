"""Look names up in threads of our own."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult

from canary.core.hosts import of_the_node

THREADS = 64
NUMERIC = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV

Lookup = Callable[..., Sequence[tuple[int, int, int, str, tuple[Any, ...]]]]
"""Called as ``socket.getaddrinfo`` is."""


class PooledResolver(AbstractResolver):
    """Resolve names beside one another, apart from what else the process does in threads.

    asyncio's own pool has a handful of threads, so that a few name servers that are silent would
    delay every other name.
    """

    def __init__(self, lookup: Lookup = socket.getaddrinfo) -> None:
        self._lookup = lookup
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="lookup")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of a name; raise OSError."""
        asked = (host, port, family, socket.SOCK_STREAM, 0, socket.AI_ADDRCONFIG)
        found = await asyncio.get_running_loop().run_in_executor(self._pool, self._lookup, *asked)
        if of_node := next((str(one[4][0]) for one in found if of_the_node(str(one[4][0]))), None):
            raise OSError(None, f"{host} is {of_node}, an address of the node's own network, which is never asked")
        return [
            ResolveResult(hostname=host, host=str(address[0]), port=port, family=kind, proto=protocol, flags=NUMERIC)
            for kind, _, protocol, _, address in found
        ]

    async def close(self) -> None:
        """Drop waiting look-ups; running ones end by their own time-out."""
        self._pool.shutdown(wait=False, cancel_futures=True)
