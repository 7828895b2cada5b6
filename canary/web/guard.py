"""Nobody is served who is not known, and nothing is done that the caller has no right to."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable

import structlog
from fastapi import Request

from canary.core.access import Caller, Right
from canary.ports import Access
from canary.web.problems import Problem
from canary.web.rates import Rates, Recent

REMEMBERED = 5.0
"""Seconds for which an answer of the API server about a token or a right holds."""
BURST, PER_SECOND = 40, 10.0
"""What one caller may ask at once, and then in a second."""
STRANGERS_BURST, STRANGERS_PER_SECOND = 40, 10.0
"""How many tokens that are not known may come from one address."""
LONGEST_TOKEN = 16384
NO_TOKEN = "no token: send a token of the cluster in the header `Authorization: Bearer TOKEN`"
WRONG_TOKEN = "the cluster does not know this token: it has ended, is of another cluster, or is for another audience"

_log = structlog.get_logger(__name__)


class Guard:
    """Ask the API server about tokens and rights, and remember its answers for seconds, by digest of the token."""

    def __init__(self, access: Access, clock: Callable[[], float] = time.monotonic) -> None:
        self._access = access
        self._callers: Recent[bytes, Caller | bool] = Recent(REMEMBERED, clock)
        self._rights: Recent[tuple[Caller, Right], bool] = Recent(REMEMBERED, clock)
        self._rates: Rates[str] = Rates(BURST, PER_SECOND, clock)
        self._strangers: Rates[str] = Rates(STRANGERS_BURST, STRANGERS_PER_SECOND, clock)

    async def caller(self, request: Request) -> Caller:
        """Return who sends a request; raise ``Problem`` 401 or 429."""
        caller = await self._identified(request)
        if wait := self._rates.wait(caller.name):
            _log.warning("api_limited", caller=caller.name)
            raise Problem(429, f"{caller.name} asks more than {PER_SECOND:g} times a second; wait", wait)
        return caller

    async def permits(self, caller: Caller, right: Right) -> bool:
        """Return whether a caller has a right."""
        question = (caller, right)
        known = self._rights.find(question)
        if known is None:
            known = self._rights.keep(question, await self._access.permits(caller, right))
        return known

    async def _identified(self, request: Request) -> Caller:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            raise Problem(401, NO_TOKEN)
        digest = hashlib.sha256(token.encode()).digest()
        known = self._callers.find(digest)
        if known is None:
            known = self._callers.keep(digest, await self._reviewed(token, request))
        if isinstance(known, bool):
            raise Problem(401, WRONG_TOKEN)
        return known

    async def _reviewed(self, token: str, request: Request) -> Caller | bool:
        """Return whose token this is, False when it is nobody's."""
        address = request.client.host if request.client else ""
        if wait := self._strangers.wait(address):
            raise Problem(429, f"too many tokens from {address} that were not seen before; wait", wait)
        caller = await self._access.identify(token) if len(token) <= LONGEST_TOKEN and token.isascii() else None
        if caller is None:
            _log.warning("api_refused", address=address, code=401)
        return caller or False
