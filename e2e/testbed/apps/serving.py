"""Run an application's two servers until a signal, then let running requests finish."""

import asyncio
import os
import signal

from aiohttp import web

from e2e.testbed.addresses import HEALTH_PORT

SHUTDOWN_SECONDS = 2.0


async def serve(application: web.Application, control: web.Application, *, default_port: int) -> None:
    """Serve `application` on PORT and `control` on the health port until SIGTERM."""
    port = int(os.environ.get("PORT", str(default_port)))
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    # Health answers only when the application already does.
    runners = [await _start(application, port), await _start(control, HEALTH_PORT)]
    await stopped.wait()
    await asyncio.gather(*(runner.cleanup() for runner in runners))


async def _start(application: web.Application, port: int) -> web.AppRunner:
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)
    await runner.setup()
    await web.TCPSite(runner, "0.0.0.0", port).start()
    return runner
