"""Ask programs whether they are ready."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

Connect = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]

PROBE_SECONDS = 1.0


async def answers_on_port(address: str, port: int, path: str) -> bool:
    """Tell whether an HTTP server answers 200."""
    return await _answers(lambda: asyncio.open_connection(address, port), path)


async def answers_on_socket(socket: Path, path: str) -> bool:
    """Tell whether an HTTP server on a unix socket answers 200."""
    return await _answers(lambda: asyncio.open_unix_connection(str(socket)), path)


async def _answers(connect: Connect, path: str) -> bool:
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            reader, writer = await connect()
            try:
                # Envoy's admin interface answers HTTP/1.0 with 426.
                writer.write(f"GET {path} HTTP/1.1\r\nHost: probe\r\nConnection: close\r\n\r\n".encode())
                status_line = await reader.readline()
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False
    return b" 200 " in status_line
