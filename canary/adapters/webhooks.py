"""Hooks of Canaries over HTTP: what is a decision of theirs, and what decides nothing."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import uuid4

import aiohttp
import orjson
import structlog
from multidict import CIMultiDict
from tenacity import AsyncRetrying, RetryCallState, retry_if_result, stop_after_attempt, wait_exponential
from tenacity.wait import WaitBaseT
from yarl import URL

from canary.adapters.asking import CERTIFICATE, WITHOUT_CERTIFICATE, AskError, Secret, context_for, headers_for
from canary.adapters.faults import fault_words
from canary.adapters.hook_answers import WORDS, Outcome, outcome_of, same_place, shown, target_of
from canary.adapters.outbox import Outbox
from canary.adapters.resolver import Lookup, PooledResolver
from canary.adapters.secrets import Read, read_secret
from canary.adapters.signature import HOOK_KEYS, signing_key, stamp
from canary.core.hosts import ANY_HOST, Hosts
from canary.core.measurement import HookAnswer, HookCall, HookQuery, Unavailable
from canary.core.objects import CanaryKey, Object, Ref

REDIRECTS = 5
WAIT = wait_exponential(multiplier=1, max=30)
"""Flagger's pauses between attempts: 1 s, doubling to 30 s."""

_log = structlog.get_logger(__name__)
OnAnswer = Callable[[str, str, float], None]
"""Told of each call: type of the hook, `yes`, `no` or `undecided`, and seconds with all attempts."""
MTLS = " (mTLS? a STRICT PeerAuthentication admits only callers that have a sidecar)"


@dataclass(frozen=True, slots=True)
class _Sent:
    """What each attempt of one call sends, with which Secret, and what a broken connection may mean."""

    body: bytes
    headers: CIMultiDict[str]
    context: ssl.SSLContext
    secret: Secret
    hint: str

    def stamped(self, now: float) -> CIMultiDict[str]:
        """Return the headers of an attempt at a moment, given in Unix seconds."""
        key = signing_key(self.secret)
        signed = () if key is None else stamp(key, self.body, now)
        return CIMultiDict([*self.headers.items(), *signed])


async def _no_secret(_: Ref) -> Object | None:
    """Find no Secret."""
    return None


class WebhookCaller:
    """Call hooks over connections of their own, so that no answer depends on what was called before."""

    def __init__(
        self,
        user_agent: str,
        *,
        read: Read = _no_secret,
        wait: WaitBaseT = WAIT,
        lookup: Lookup = socket.getaddrinfo,
        on_answer: OnAnswer = lambda kind, outcome, seconds: None,
        now: Callable[[], float] = time.time,
        hosts: Hosts = ANY_HOST,
    ) -> None:
        """Prepare to call ``hosts``.

        ``read`` reads Secrets, ``wait`` is the pause between attempts, ``lookup`` resolves names, and ``now``
        tells the time in Unix seconds.
        """
        self._read = read
        self._now = now
        self._hosts = hosts
        self._user_agent = user_agent
        self._on_answer = on_answer
        self._wait = wait
        self._resolver = PooledResolver(lookup)
        self._session: aiohttp.ClientSession | None = None
        self._outbox: Outbox[CanaryKey, HookCall] = Outbox(self._tell, _not_told)

    async def ask(self, query: HookQuery) -> HookAnswer | Unavailable:
        """Call the hooks in order until one does not pass; what is no decision of a hook is ``Unavailable``."""
        for call in query.calls:
            answer = await self._timed(query.type, call)
            if isinstance(answer, Unavailable) or not answer.passed:
                return answer
        return HookAnswer(passed=True)

    def tell(self, key: CanaryKey, calls: Sequence[HookCall]) -> None:
        """Call hooks of a Canary in the background, each after the one before; what fails is logged."""
        self._outbox.put(key, calls)

    async def close(self) -> None:
        """Close all connections, for good."""
        await self._outbox.close()
        if self._session is not None:
            await self._session.close()
        await self._resolver.close()

    async def _tell(self, key: CanaryKey, call: HookCall) -> None:
        answer = await self._timed("event", call)
        if isinstance(answer, Unavailable):
            _not_told(key, call, answer.reason)
        elif not answer.passed:
            _not_told(key, call, answer.message)

    async def _timed(self, kind: str, call: HookCall) -> HookAnswer | Unavailable:
        """Call a hook and tell what came of it, and after how long."""
        began = time.monotonic()
        answer = await self._answer(call)
        outcome = "undecided" if isinstance(answer, Unavailable) else "yes" if answer.passed else "no"
        self._on_answer(kind, outcome, time.monotonic() - began)
        return answer

    async def _answer(self, call: HookCall) -> HookAnswer | Unavailable:
        attempts = AsyncRetrying(
            retry=retry_if_result(_may_end_otherwise),
            stop=stop_after_attempt(call.retries + 1),
            wait=self._wait,
            retry_error_callback=_last,
        )
        try:
            url = _address(call.url)
            sent = await self._sent(call, url)
            outcome: Outcome = await attempts(self._attempt, call, url.with_user(None), sent)
        except AskError as fault:
            return Unavailable(f"hook {call.name} at {shown(url)} {fault}")
        except ValueError:
            # Some hosts and user names cannot be written into a request; that shows only when it is sent.
            place = _without_credentials(call.url)
            return Unavailable(f"hook {call.name} has the url {place!r}; name one such as http://gate.example/check")
        if outcome.decision is None:
            return Unavailable(f"hook {call.name} at {shown(url)} {outcome.words}")
        return HookAnswer(True) if outcome.decision else HookAnswer(False, call.name, outcome.words)

    async def _sent(self, call: HookCall, url: URL) -> _Sent:
        """Return what each attempt of a call sends; raise AskError for credentials that are none."""
        if why := self._hosts.objection(url.host or ""):
            raise AskError(f"is not asked: {why}")
        secret = await read_secret(self._read, call.namespace, call.secret) if call.secret else {}
        given: dict[str, list[str]] = {}
        for name, value in call.headers:
            given.setdefault(name, []).append(value)
        headers = headers_for(url, self._user_agent, given, secret, call.secret or None, HOOK_KEYS)
        headers.update({"Content-Type": "application/json", "X-Request-Id": str(uuid4())})
        context = context_for(secret, unchecked=not call.verify)
        wanted = url.scheme == "https" and call.secret and CERTIFICATE not in secret
        hint = "" if url.scheme == "https" else MTLS
        signing_key(secret)
        return _Sent(orjson.dumps(call.payload), headers, context, secret, WITHOUT_CERTIFICATE if wanted else hint)

    async def _attempt(self, call: HookCall, url: URL, sent: _Sent) -> Outcome:
        """Call once; raise ValueError for a URL that HTTP cannot carry."""
        seconds = call.timeout.total_seconds()
        try:
            async with asyncio.timeout(seconds):
                return await self._post(url, sent)
        except TimeoutError:
            return Outcome(None, f"timed out: no whole answer within {seconds:g} s", again=True)
        except (aiohttp.ClientError, OSError) as fault:
            # A certificate does not become valid within seconds.
            passing = not isinstance(fault, aiohttp.ClientConnectorCertificateError)
            return Outcome(None, fault_words(fault, sent.hint), again=passing)

    async def _post(self, url: URL, sent: _Sent) -> Outcome:
        headers = sent.stamped(self._now())
        for _ in range(REDIRECTS + 1):
            async with self._open().post(
                url, data=sent.body, headers=headers, ssl=sent.context, allow_redirects=False
            ) as response:
                target = target_of(response, url)
                if target is None or not same_place(url, target):
                    return await outcome_of(response, target, sent.secret)
            url = url.join(target.relative())
        return Outcome(None, f"redirects to itself more than {REDIRECTS} times; name the address that answers itself")

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            # A kept connection may be cut just as it is used again, and a POST is not sent twice.
            # Calls that hang hold their connection, so their number has no limit.
            connector = aiohttp.TCPConnector(limit=0, force_close=True, resolver=self._resolver)
            self._session = aiohttp.ClientSession(
                connector=connector,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session


def _not_told(key: CanaryKey, call: HookCall, why: str) -> None:
    _log.warning("hook_not_told", canary=str(key), hook=call.name, error=why)


def _may_end_otherwise(outcome: Outcome) -> bool:
    return outcome.again


def _last(state: RetryCallState) -> Outcome:
    assert state.outcome is not None
    last: Outcome = state.outcome.result()
    return last


def _address(text: str) -> URL:
    url = URL(text)
    if url.scheme not in ("http", "https") or not url.host:
        raise ValueError(text)
    return url


def _without_credentials(text: str) -> str:
    """Return what may be shown of a text that is no URL."""
    return text.partition("?")[0].partition("#")[0].rpartition("@")[2][:WORDS]
