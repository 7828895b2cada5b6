"""Alerts over HTTP: in the background, tried again, and without a word of what is secret."""

from __future__ import annotations

import asyncio
import base64
import re
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

import aiohttp
import orjson
import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_result, stop_after_attempt, wait_exponential
from tenacity.wait import WaitBaseT
from yarl import URL

from canary.adapters.alert_forms import FORMS, SLACK_API, place
from canary.adapters.faults import fault_words
from canary.adapters.outbox import FAREWELL, Outbox
from canary.adapters.resolver import Lookup, PooledResolver
from canary.api.alert_provider import SECRET_ADDRESS, SLACK, TOKEN
from canary.core.alerts import AlertCall
from canary.core.hosts import ANY_HOST, Hosts
from canary.core.objects import SECRET, Object, Ref
from canary.ports import ClusterError

SECONDS = 5.0
ATTEMPTS = 5
WAIT = wait_exponential(multiplier=1, max=30)
LONGEST_ANSWER = 4096
_AGAIN = {408, 425, 429}
_CODE = re.compile(r"[a-z_]{1,64}")
_NO_ADDRESS = "an address that is none; name one such as https://hooks.example/team"

Ended = Callable[[AlertCall, str], None]
OnAlert = Callable[[str, str], None]
"""Told of each alert: type of the AlertProvider, and `sent`, `failed` or `dropped`."""

_log = structlog.get_logger(__name__)


class _Unsendable(Exception):
    """An alert has nowhere to go; the text is a sentence without anything secret."""


@dataclass(frozen=True, slots=True)
class _Receiver:
    """Where an alert goes."""

    url: URL = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    proxy: URL | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What came of one attempt: nothing to say when it was taken."""

    words: str = ""
    again: bool = False


class AlertSender:
    """Post alerts in order per AlertProvider; one that is slow delays nobody else's."""

    def __init__(
        self,
        user_agent: str,
        read: Callable[[Ref], Awaitable[Object | None]],
        *,
        wait: WaitBaseT = WAIT,
        seconds: float = SECONDS,
        lookup: Lookup = socket.getaddrinfo,
        on_alert: OnAlert = lambda kind, outcome: None,
        farewell: float = FAREWELL,
        hosts: Hosts = ANY_HOST,
    ) -> None:
        """Prepare to send to ``hosts``; ``read`` raises ``ClusterError``, ``wait`` is between attempts."""
        self._user_agent = user_agent
        self._read = read
        self._wait = wait
        self._seconds = seconds
        self._on_alert = on_alert
        self._hosts = hosts
        self._resolver = PooledResolver(lookup)
        self._session: aiohttp.ClientSession | None = None
        self._outbox: Outbox[Ref, tuple[AlertCall, Ended]] = Outbox(self._send, self._dropped, farewell=farewell)

    def alert(self, calls: Sequence[AlertCall], ended: Ended) -> None:
        """Send alerts in the background; ``ended`` hears of each why it did not arrive, or nothing when it did."""
        for call in calls:
            self._outbox.put(call.provider, [(call, ended)])

    async def close(self) -> None:
        """Let what is under way end for a moment, and close all connections, for good."""
        await self._outbox.close()
        if self._session is not None:
            await self._session.close()
        await self._resolver.close()

    def _dropped(self, provider: Ref, owed: tuple[AlertCall, Ended], why: str) -> None:
        self._note(owed[0], "dropped", why)

    async def _send(self, provider: Ref, owed: tuple[AlertCall, Ended]) -> None:
        call, ended = owed
        try:
            fault = await self._fault(call)
        except asyncio.CancelledError:
            self._note(call, "dropped", "the process ends")
            raise
        self._note(call, "failed" if fault else "sent", fault)
        ended(call, fault)

    def _note(self, call: AlertCall, outcome: str, why: str) -> None:
        self._on_alert(call.spec.type, outcome)
        if why:
            _log.warning(f"alert_{outcome}", canary=str(call.key), provider=str(call.provider), error=why)

    async def _fault(self, call: AlertCall) -> str:
        """Return why an alert did not arrive, nothing when it did."""
        attempts = AsyncRetrying(
            retry=retry_if_result(_may_end_otherwise),
            stop=stop_after_attempt(ATTEMPTS),
            wait=self._wait,
            retry_error_callback=_last,
        )
        try:
            receiver = await self._receiver(call)
            outcome: _Outcome = await attempts(self._attempt, call, receiver)
        except _Unsendable as fault:
            return f"{call.provider} {fault}"
        except ValueError:
            return f"{call.provider} has {_NO_ADDRESS}"
        return f"the receiver of {call.provider} {outcome.words}" if outcome.words else ""

    async def _receiver(self, call: AlertCall) -> _Receiver:
        """Return where to post; raise ValueError for what is no address."""
        spec = call.spec
        secret = await self._secret(call) if spec.secret_ref is not None else {}
        token = secret.get(TOKEN, "") if spec.type == SLACK else ""
        address = secret.get(SECRET_ADDRESS) or spec.address or (SLACK_API if token else "")
        if not address:
            assert spec.secret_ref is not None
            name = f"Secret {call.provider.namespace}/{spec.secret_ref.name}"
            raise _Unsendable(f"has no address: {name} has no key {SECRET_ADDRESS}; add it")
        url = URL(address)
        if url.scheme not in ("http", "https") or not url.host:
            raise ValueError
        proxy = URL(spec.proxy) if spec.proxy else None
        for one in filter(None, (url, proxy)):
            if why := self._hosts.objection(one.host or ""):
                raise _Unsendable(f"is not sent to: {why}")
        headers = {"Content-Type": "application/json; charset=utf-8", "User-Agent": self._user_agent}
        headers |= {"X-Request-Id": call.id} | ({"Authorization": f"Bearer {token}"} if token else {})
        return _Receiver(place(call, url), headers, proxy)

    async def _secret(self, call: AlertCall) -> Mapping[str, str]:
        named = call.spec.secret_ref
        ref = Ref(SECRET, call.provider.namespace, named.name if named is not None else "")
        try:
            found = await self._read(ref)
        except ClusterError as fault:
            raise _Unsendable(
                f"has no address: {ref} cannot be read ({fault}); allow the controller to get it"
            ) from None
        if found is None:
            raise _Unsendable(f"has no address: {ref} not found; create it")
        return {key: _line(ref, key, value) for key, value in (found.get("data") or {}).items() if key in _KEYS}

    async def _attempt(self, call: AlertCall, receiver: _Receiver) -> _Outcome:
        """Post once; raise ValueError for what HTTP cannot carry."""
        try:
            async with asyncio.timeout(self._seconds):
                return await self._post(call, receiver)
        except TimeoutError:
            return _Outcome(f"did not answer within {self._seconds:g} s", again=True)
        except aiohttp.InvalidURL:
            raise ValueError from None
        except aiohttp.ClientHttpProxyError as fault:
            return _Outcome(f"was not reached: the proxy answered HTTP {fault.status}", fault.status >= 500)
        except (aiohttp.ClientError, OSError) as fault:
            # A certificate does not become valid within seconds.
            return _Outcome(fault_words(fault), again=not isinstance(fault, aiohttp.ClientConnectorCertificateError))

    async def _post(self, call: AlertCall, receiver: _Receiver) -> _Outcome:
        body = orjson.dumps(FORMS[call.spec.type](call))
        async with self._open().post(
            receiver.url, data=body, headers=receiver.headers, proxy=receiver.proxy, allow_redirects=False
        ) as response:
            if not 200 <= response.status < 300:
                again = response.status in _AGAIN or response.status >= 500
                return _Outcome(f"answered HTTP {response.status}", again)
            return _of_slack(await _body(response)) if call.spec.type == SLACK else _Outcome()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            # A kept connection may be cut just as it is used again, and a POST is not sent twice unasked.
            connector = aiohttp.TCPConnector(limit=0, force_close=True, resolver=self._resolver)
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=None)
            jar = aiohttp.DummyCookieJar()
            self._session = aiohttp.ClientSession(connector=connector, timeout=timeout, cookie_jar=jar)
        return self._session


_KEYS = (SECRET_ADDRESS, TOKEN)


def _line(ref: Ref, key: str, value: str) -> str:
    """Return a value of a Secret: files end with a line break that is no part of it."""
    try:
        text = base64.b64decode(value).decode().strip()
    except ValueError:
        text = "\n"
    if not text.isprintable():
        raise _Unsendable(f"cannot be used: {key} of {ref} is more than one line of text")
    return text


def _may_end_otherwise(outcome: _Outcome) -> bool:
    return outcome.again


def _last(state: RetryCallState) -> _Outcome:
    assert state.outcome is not None
    last: _Outcome = state.outcome.result()
    return last


async def _body(response: aiohttp.ClientResponse) -> bytes:
    body = b""
    while len(body) < LONGEST_ANSWER and (piece := await response.content.read(LONGEST_ANSWER - len(body))):
        body += piece
    return body


def _of_slack(body: bytes) -> _Outcome:
    """Return what a bot of Slack was told: its API says no with a 200."""
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        return _Outcome()
    if not isinstance(answer, dict) or answer.get("ok") is not False:
        return _Outcome()
    code = str(answer.get("error"))
    return _Outcome(f"answered {code if _CODE.fullmatch(code) else 'no'}")
