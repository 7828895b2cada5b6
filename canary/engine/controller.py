"""Run reconciles: one at a time per Canary, many Canaries at once, and say what follows each."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import structlog

from canary.core.objects import CanaryKey
from canary.engine.workqueue import WorkQueue
from canary.ports import Conflict, NotFound, NotLeading, Refused, Retryable

Reconcile = Callable[[CanaryKey], Awaitable[timedelta | None]]
Observer = Callable[[str, float], None]
"""Called after every reconcile with its result and how many seconds it took."""

CONCURRENCY = 1000
"""Most reconciles at once: one waits for nothing but answers, and a hook that hangs must not keep others waiting."""
STALE_PAUSE = timedelta(seconds=1)
"""The longest pause after a conflict: the caches are about to tell what changed."""
REFUSED_PAUSE = timedelta(seconds=30)
"""The shortest pause after a refusal: the same again cannot help, but a webhook may change its mind."""

_log = structlog.get_logger(__name__)


def _ignore(result: str, seconds: float) -> None:
    """Observe nothing."""


class Controller:
    """Take keys from the queue and reconcile them."""

    def __init__(
        self,
        queue: WorkQueue[CanaryKey],
        reconcile: Reconcile,
        *,
        observer: Observer = _ignore,
        concurrency: int = CONCURRENCY,
    ) -> None:
        self._queue = queue
        self._reconcile = reconcile
        self._observer = observer
        self._slots = asyncio.Semaphore(concurrency)

    async def run(self) -> None:
        """Reconcile whatever the queue gives until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                await self._slots.acquire()
                key = await self._queue.get()
                group.create_task(self._work(key), name=f"reconcile {key}")

    async def _work(self, key: CanaryKey) -> None:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        outcome: timedelta | Exception | None
        try:
            with structlog.contextvars.bound_contextvars(canary=str(key)):
                try:
                    outcome = await self._reconcile(key)
                except Exception as fault:
                    # A fault in one Canary is that Canary's error; cancellation is none and passes.
                    outcome = fault
                self._observer(self._settle(key, outcome), loop.time() - begun)
        finally:
            self._queue.done(key)
            self._slots.release()

    def _settle(self, key: CanaryKey, outcome: timedelta | Exception | None) -> str:
        """Queue a key again as its reconcile ended; return the name of the result."""
        match outcome:
            case None | timedelta():
                self._queue.forget(key)
                self._queue.schedule(key, outcome)
                return "done"
            case Conflict() | NotFound():
                self._queue.add_rate_limited(key, at_most=STALE_PAUSE)
                _log.debug("reconcile_conflict", error=str(outcome))
                return "conflict"
            case NotLeading():
                # The term is about to end, or the lease about to be renewed.
                self._queue.add_rate_limited(key, at_most=STALE_PAUSE)
                _log.debug("reconcile_fenced", error=str(outcome))
                return "fenced"
            case Retryable():
                at_least = timedelta(seconds=outcome.retry_after or 0)
                pause = self._queue.add_rate_limited(key, at_least=at_least)
                _log.warning("reconcile_retried", error=str(outcome), again_in=pause.total_seconds())
                return "retry"
            case Refused():
                pause = self._queue.add_rate_limited(key, at_least=REFUSED_PAUSE)
                _log.error("reconcile_refused", error=str(outcome), again_in=pause.total_seconds())
                return "refused"
            case _:
                pause = self._queue.add_rate_limited(key)
                _log.error("reconcile_failed", exc_info=outcome, again_in=pause.total_seconds())
                return "error"
