"""A thin client: configuration, TLS, tokens and session of kubernetes-asyncio, raw JSON bodies."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import math
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import timedelta
from typing import Any, Self

import aiohttp
import structlog
from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt, wait_fixed

from canary.adapters.kube.answers import Expired, decode, encode, error_of
from canary.adapters.kube.credentials import Credentials
from canary.adapters.kube.library import ApiClient, RESTClientObject
from canary.adapters.kube.login import log_in
from canary.ports import Fence, NotLeading, Retryable, unfenced

JSON = "application/json"
METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
MERGE_PATCH = "application/merge-patch+json"
FIELD_MANAGER = "canary-controller"
CONNECT_SECONDS = 5.0
TOTAL_SECONDS = 15.0

RequestHook = Callable[[str, str, str], None]
"""Called after every request with verb, resource and status code (``error`` when there was none)."""

Params = Mapping[str, str]

_log = structlog.get_logger(__name__)


class KubeClient:
    """Send requests to one API server; answers are plain dicts, failures are errors of ``ports``."""

    def __init__(self, credentials: Credentials, user_agent: str, on_request: RequestHook | None = None) -> None:
        # Watches hold their connection for good: with a bounded pool calls wait behind them for ever.
        credentials.settings.connection_pool_maxsize = 0
        self._api = ApiClient(credentials.settings)
        self._credentials = credentials
        self._user_agent = user_agent
        self._on_request = on_request
        self.fence: Fence = unfenced
        """What each write asks in the last moment before it is sent."""

    @classmethod
    async def connect(
        cls,
        kubeconfig: str | None,
        context: str | None,
        *,
        user_agent: str,
        on_request: RequestHook | None = None,
    ) -> Self:
        """Read the configuration of a kubeconfig file, or the pod's own when None; sends nothing."""
        return cls(Credentials(await log_in(kubeconfig, context)), user_agent, on_request)

    def for_callers(self) -> Self:
        """Return this client for writes in the name of callers, which every replica may send: no fence stops them."""
        apart = copy.copy(self)
        apart.fence = unfenced
        return apart

    async def close(self) -> None:
        """Close all connections."""
        await self._api.close()
        # TLS connections end only after the server's answer; left open they are reported as leaks.
        await asyncio.sleep(0.1)

    async def read(
        self, path: str, *, resource: str, verb: str = "get", params: Params | None = None, accept: str = JSON
    ) -> dict[str, Any]:
        """Send a GET, a second time after a fault that passes; return the body in the form that ``accept`` names."""
        attempts = AsyncRetrying(
            retry=retry_if_exception(_passing), stop=stop_after_attempt(2), wait=wait_fixed(0.2), reraise=True
        )
        answer: dict[str, Any] = await attempts(
            self._call, "GET", path, resource, verb, params, None, JSON, TOTAL_SECONDS, accept
        )
        return answer

    async def write(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any],
        *,
        resource: str,
        verb: str,
        params: Params | None = None,
        content_type: str = JSON,
        total: float = TOTAL_SECONDS,
        fence: Fence | None = None,
    ) -> dict[str, Any]:
        """Send a write once and return the body; a ``Retryable`` write may have happened.

        Raises ``NotLeading``, and sends nothing, where the fence (by default the client's) is closed.
        """
        call = asyncio.ensure_future(
            self._call(
                method, path, resource, verb, params, encode(body), content_type, total, fence=fence or self.fence
            )
        )
        try:
            return await asyncio.shield(call)
        except asyncio.CancelledError:
            # A stop falls between writes, never into one: its answer is awaited first.
            await asyncio.wait({call}, timeout=total)
            if call.done() and not call.cancelled() and (fault := call.exception()):
                _log.info("write_failed_during_stop", verb=verb, resource=resource, error=_words(fault))
            raise

    @contextlib.asynccontextmanager
    async def watch(
        self, path: str, *, resource: str, params: Params, accept: str = JSON
    ) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
        """Open a watch and give its events one by one; the caller sets the time it may stay silent."""
        limits = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS)
        try:
            response = await self._request("GET", path, params, None, JSON, limits, accept)
        except (aiohttp.ClientError, OSError) as fault:
            self._count("watch", resource, "error")
            raise Retryable(f"watch {resource}: {_words(fault)}") from fault
        self._count("watch", resource, str(response.status))
        try:
            async with response:
                if response.status != 200:
                    raise error_of(response.status, await response.read(), response.headers.get("Retry-After"))
                yield _lines(response)
        except (aiohttp.ClientError, OSError, ValueError) as fault:
            # ValueError: aiohttp's answer to a line that is longer than any object can be.
            raise Retryable(f"watch {resource} broke off: {_words(fault)}") from fault

    async def stay_logged_in(self) -> None:
        """Renew tokens and certificates for as long as the process runs."""
        await self._credentials.keep(self._reconnect)

    async def _reconnect(self) -> None:
        """Use new connections from now on, with the certificates that are there now."""
        old = self._api.rest_client
        self._api.rest_client = RESTClientObject(self._api.configuration)
        try:
            # Calls in flight end first; watches are cut, and begin anew on the new connections.
            await asyncio.sleep(TOTAL_SECONDS)
        finally:
            await old.close()

    async def _call(
        self,
        method: str,
        path: str,
        resource: str,
        verb: str,
        params: Params | None,
        body: bytes | None,
        content_type: str,
        total: float,
        accept: str = JSON,
        fence: Fence = unfenced,
    ) -> dict[str, Any]:
        limits = aiohttp.ClientTimeout(total=total, sock_connect=CONNECT_SECONDS)
        code = "error"
        try:
            async with await self._request(method, path, params, body, content_type, limits, accept, fence) as response:
                code = str(response.status)
                answer = await response.read()
                if response.status >= 300:
                    raise error_of(response.status, answer, response.headers.get("Retry-After"))
                return decode(answer)
        except (aiohttp.ClientError, OSError) as fault:
            raise Retryable(f"{verb} {resource}: {_words(fault)}") from fault
        finally:
            self._count(verb, resource, code)

    async def _request(
        self,
        method: str,
        path: str,
        params: Params | None,
        body: bytes | None,
        content_type: str,
        limits: aiohttp.ClientTimeout,
        accept: str,
        fence: Fence = unfenced,
    ) -> aiohttp.ClientResponse:
        headers = {"Accept": accept, "User-Agent": self._user_agent}
        if body is not None:
            headers["Content-Type"] = content_type
        await self._api.update_params_for_auth(headers, [], ["BearerToken"])
        settings, rest = self._api.configuration, self._api.rest_client
        session: aiohttp.ClientSession = rest.pool_manager
        limits = _within(limits, fence(), f"{method} {path}")
        response = await session.request(
            method,
            f"{settings.host}{path}",
            params=dict(params or {}),
            data=body,
            headers=headers,
            timeout=limits,
            allow_redirects=False,
            proxy=rest.proxy,
            proxy_headers=rest.proxy_headers,
            server_hostname=rest.server_hostname,
        )
        if response.status == 401:
            self._credentials.refused()
        return response

    def _count(self, verb: str, resource: str, code: str) -> None:
        if self._on_request is not None:
            self._on_request(verb, resource, code)


async def _lines(response: aiohttp.ClientResponse) -> AsyncIterator[dict[str, Any]]:
    async for line in response.content:
        if line.strip():
            yield decode(line)


def _within(limits: aiohttp.ClientTimeout, allowance: timedelta, what: str) -> aiohttp.ClientTimeout:
    """Return the limits of a request that must be over in time; ``NotLeading`` when there is none left."""
    if allowance <= timedelta(0):
        raise NotLeading(f"{what} was not sent: this replica does not hold the lease, or cannot be sure of it")
    if limits.total is None or limits.total <= allowance.total_seconds():
        return limits
    # Never rounded up, as aiohttp does with long ones: others may lead from then on.
    total = allowance.total_seconds()
    return aiohttp.ClientTimeout(total=total, sock_connect=limits.sock_connect, ceil_threshold=math.inf)


def _passing(fault: BaseException) -> bool:
    # A server that names a time to wait is not asked again before it: the queue waits.
    return isinstance(fault, Retryable) and not isinstance(fault, Expired) and fault.retry_after is None


def _words(fault: BaseException) -> str:
    return f"{type(fault).__name__} {fault}".strip()
