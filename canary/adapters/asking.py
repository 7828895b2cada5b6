"""GET from whom a MetricTemplate names: with its headers and credentials, and bounded in time and size."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from canary.adapters.faults import fault_words
from canary.adapters.resolver import Lookup, PooledResolver
from canary.api.metric_template import MetricProvider
from canary.core.hosts import ANY_HOST, Hosts

SECONDS = 5.0
LARGEST = 2**22
"""Bytes of an answer that are read: those of a thousand series are a quarter of a megabyte."""
TOKEN, USER, PASSWORD, CA, CERTIFICATE, KEY = "token", "username", "password", "ca.crt", "tls.crt", "tls.key"
UNCARRIED = "cannot be asked: its address or headers hold what HTTP cannot carry"
WITHOUT_CERTIFICATE = f" (a server that wants a client certificate gets {CERTIFICATE} and {KEY} of the Secret)"
_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_BREAKS = frozenset("\r\n\0")
KNOWN = (TOKEN, USER, PASSWORD, CA, CERTIFICATE, KEY)

Secret = Mapping[str, bytes]
"""What a Secret holds, decoded."""


class AskError(Exception):
    """No usable answer came; the text is a sentence for people without anything secret."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server answered."""

    status: int
    body: bytes


class Asker:
    """Ask servers over one pool of connections; a slow one delays nobody but who asked it."""

    def __init__(
        self,
        user_agent: str,
        *,
        seconds: float = SECONDS,
        lookup: Lookup = socket.getaddrinfo,
        hosts: Hosts = ANY_HOST,
    ) -> None:
        """Prepare to ask ``hosts``; ``seconds`` bound each attempt, ``lookup`` resolves names."""
        self._hosts = hosts
        self._user_agent = user_agent
        self.seconds = seconds
        self._resolver = PooledResolver(lookup)
        self._session: aiohttp.ClientSession | None = None

    async def get(self, url: URL, provider: MetricProvider, secret: Secret) -> Reply:
        """Return what a server answers, asked once more after a fault of the connection; raise AskError."""
        named = provider.secret_ref.name if provider.secret_ref is not None else None
        if why := self._hosts.objection(url.host or ""):
            raise AskError(f"is not asked: {why}")
        headers = headers_for(url, self._user_agent, provider.headers or {}, secret, named)
        context = context_for(secret, unchecked=provider.insecure_skip_verify)
        try:
            try:
                return await self._attempt(url, headers, context)
            except aiohttp.ClientConnectorError as fault:
                # What breaks later the library asks once more by itself.
                if isinstance(fault, aiohttp.ClientSSLError):
                    raise
                return await self._attempt(url, headers, context)
        except TimeoutError:
            raise AskError(f"timed out: no whole answer within {self.seconds:g} s") from None
        except (aiohttp.ClientError, OSError) as fault:
            if isinstance(fault, aiohttp.InvalidURL):
                raise AskError(UNCARRIED) from None
            asked = url.scheme == "https" and CERTIFICATE not in secret
            raise AskError(fault_words(fault, WITHOUT_CERTIFICATE if asked else "")) from None
        except ValueError:
            raise AskError(UNCARRIED) from None

    async def close(self) -> None:
        """Close all connections, for good."""
        if self._session is not None:
            await self._session.close()
        await self._resolver.close()

    async def _attempt(self, url: URL, headers: CIMultiDict[str], context: ssl.SSLContext) -> Reply:
        async with (
            asyncio.timeout(self.seconds),
            self._open().get(url.with_user(None), headers=headers, ssl=context, allow_redirects=False) as response,
        ):
            body = b""
            while piece := await response.content.read(LARGEST):
                body += piece
                if len(body) > LARGEST:
                    raise AskError(f"gave more than {LARGEST >> 20} MB; ask for less, with sum or a shorter interval")
            if 300 <= response.status < 400:
                raise AskError(f"redirects elsewhere (HTTP {response.status}); name the address that answers itself")
            return Reply(response.status, body)

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, resolver=self._resolver),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session


def address_of(text: str) -> URL:
    """Return an address; raise AskError for one that no request can be sent to."""
    try:
        url = URL(text)
        if url.scheme in ("http", "https") and url.host:
            return url
    except ValueError:
        pass
    raise AskError("has an address that is none; name one such as http://prometheus.istio-system:9090")


def shown(url: URL) -> str:
    """Return an address without what may be secret in it."""
    return str(url.with_user(None).with_query(None).with_fragment(None)).rstrip("/")


def headers_for(
    url: URL,
    user_agent: str,
    given: Mapping[str, Sequence[str]],
    secret: Secret,
    named: str | None,
    known: Sequence[str] = KNOWN,
) -> CIMultiDict[str]:
    """Return the headers of a request: who asks, what is ``given``, and the credentials of URL or Secret.

    ``named`` is the name of the Secret, None without one, and ``known`` what such a Secret may hold.
    Raises AskError.
    """
    headers: CIMultiDict[str] = CIMultiDict({"User-Agent": user_agent})
    for name, values in given.items():
        if not _NAME.fullmatch(name) or any(_BREAKS & set(value) for value in values):
            raise AskError(UNCARRIED)
        headers.popall(name, None)
        for value in values:
            headers.add(name, value)
    if url.user is not None:
        headers["Authorization"] = aiohttp.encode_basic_auth(url.user, url.password or "", encoding="utf-8")
    if named is None:
        return headers
    if not any(name in secret for name in known) or (USER in secret) != (PASSWORD in secret):
        others = "".join(f"{name}, " for name in known if name not in KNOWN)
        needs = f"{TOKEN}, {USER} with {PASSWORD}, {others}{CA}, or {CERTIFICATE}"
        raise AskError(f"cannot be asked: Secret {named} needs {needs}")
    if TOKEN in secret:
        headers["Authorization"] = f"Bearer {_line(secret, TOKEN)}"
    elif USER in secret:
        user, password = _line(secret, USER), _line(secret, PASSWORD)
        headers["Authorization"] = aiohttp.encode_basic_auth(user, password, encoding="utf-8")
    return headers


def _line(secret: Secret, key: str) -> str:
    """Return a value of a Secret as a header can carry it: files end with a line break that is no part of it."""
    try:
        text = secret[key].decode().strip("\r\n")
    except UnicodeDecodeError:
        text = "\n"
    if _BREAKS & set(text):
        raise AskError(f"cannot be asked: {key} of its Secret is more than one line of text")
    return text


def context_for(secret: Secret, *, unchecked: bool) -> ssl.SSLContext:
    """Return how TLS is spoken with the certificates of a Secret; raise AskError for those that are none."""
    try:
        return _tls(unchecked, secret.get(CA, b""), secret.get(CERTIFICATE, b""), secret.get(KEY, b""))
    except (ssl.SSLError, ValueError) as fault:
        words = getattr(fault, "reason", None) or "not PEM"
        raise AskError(
            f"cannot be asked: the certificates of its Secret cannot be read ({words}); "
            f"{CA}, {CERTIFICATE} and {KEY} are PEM"
        ) from None


@lru_cache(maxsize=64)
def _tls(unchecked: bool, authority: bytes, certificate: bytes, key: bytes) -> ssl.SSLContext:
    """Return how to speak TLS; one context for equal certificates, so that connections are kept."""
    context = ssl.create_default_context(cadata=authority.decode("ascii") if authority else None)
    if unchecked:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if certificate or key:
        # The library reads files alone; these are in memory and have no names.
        with _file(certificate) as certificates, _file(key) as keys:
            context.load_cert_chain(certificates, keys)
    return context


@contextmanager
def _file(content: bytes) -> Iterator[str]:
    number = os.memfd_create("pem")
    try:
        os.write(number, content)
        yield f"/proc/self/fd/{number}"
    finally:
        os.close(number)
