"""Talk to the API server with plain dicts: blocking for tests, asynchronous for the testbed's processes."""

import asyncio
import http.client
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp

from e2e.testbed import addresses, credentials

Object = dict[str, Any]

MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_MERGE_PATCH = "application/strategic-merge-patch+json"


class ApiError(Exception):
    """Report an answer of the API server that is not a success."""

    def __init__(self, method: str, path: str, status: int, message: str) -> None:
        super().__init__(f"{method} {path}: {status} {message}")
        self.status = status


class KubeClient:
    """Send single requests and wait for the answer."""

    def __init__(self, authority: Path, user: str = credentials.ADMIN) -> None:
        self._context = ssl.create_default_context(cafile=str(authority))
        self._token = credentials.token(user)
        self._idle: list[http.client.HTTPSConnection] = []
        """Open connections: who waits for something reads many times a second."""

    def close(self) -> None:
        """Close what is open."""
        while self._idle:
            self._idle.pop().close()

    def get(self, path: str) -> Object:
        """Read one object or list."""
        try:
            connection = self._idle.pop()
        except IndexError:
            return self._read(self._connect(), path)
        # One that the server has ended, or that was open to a server before, is left for a new one.
        with suppress(OSError, http.client.HTTPException):
            return self._read(connection, path)
        return self._read(self._connect(), path)

    def _read(self, connection: http.client.HTTPSConnection, path: str) -> Object:
        try:
            status, content = self._ask(connection, "GET", path)
        except BaseException:
            connection.close()
            raise
        self._idle.append(connection)
        return _said("GET", path, status, content)

    def find(self, path: str) -> Object | None:
        """Read one object, None when it does not exist."""
        try:
            return self.get(path)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def create(self, path: str, body: Object) -> Object:
        """Create an object in the collection `path`."""
        return self.request("POST", path, body)

    def merge(self, path: str, body: Object) -> Object:
        """Change an object by a merge patch."""
        return self.request("PATCH", path, body, MERGE_PATCH)

    def delete(self, path: str) -> Object:
        """Delete an object."""
        return self.request("DELETE", path)

    def request(
        self, method: str, path: str, body: Object | None = None, content_type: str = "application/json"
    ) -> Object:
        """Send one request; raise ApiError unless it succeeds."""
        payload = None if body is None else json.dumps(body)
        connection = self._connect()
        try:
            status, content = self._ask(connection, method, path, payload, content_type)
        finally:
            connection.close()
        return _said(method, path, status, content)

    def _connect(self) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(
            addresses.LOOPBACK, addresses.API_SERVER_PORT, context=self._context, timeout=30
        )

    def _ask(
        self,
        connection: http.client.HTTPSConnection,
        method: str,
        path: str,
        payload: str | None = None,
        content_type: str = "application/json",
    ) -> tuple[int, bytes]:
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": content_type}
        connection.request(method, path, payload, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()


class AsyncKubeClient:
    """Send requests and follow lists from an event loop."""

    def __init__(self, session: aiohttp.ClientSession, authority: Path, user: str) -> None:
        self._session = session
        self._context = ssl.create_default_context(cafile=str(authority))
        self._headers = {"Authorization": f"Bearer {credentials.token(user)}"}

    async def request(
        self, method: str, path: str, body: Object | None = None, content_type: str = "application/json"
    ) -> Object:
        """Send one request; raise ApiError unless it succeeds."""
        url = addresses.API_SERVER_URL + path
        headers = {**self._headers, "Content-Type": content_type}
        payload = None if body is None else json.dumps(body)
        async with self._session.request(method, url, data=payload, headers=headers, ssl=self._context) as answer:
            return _said(method, path, answer.status, await answer.read())

    async def follow(self, path: str, selector: str = "") -> AsyncIterator[tuple[str, Object]]:
        """Yield ("LISTED", list) and then every change (type, object), again after each broken watch."""
        query = f"labelSelector={selector}&" if selector else ""
        while True:
            try:
                listed = await self.request("GET", f"{path}?{query}")
                yield "LISTED", listed
                version = listed["metadata"]["resourceVersion"]
                async for event in self._watch(f"{path}?{query}watch=1&resourceVersion={version}"):
                    if event["type"] == "ERROR":
                        break
                    yield event["type"], event["object"]
            except (aiohttp.ClientError, TimeoutError, ApiError, OSError):
                await asyncio.sleep(0.2)

    async def _watch(self, path: str) -> AsyncIterator[Object]:
        url = addresses.API_SERVER_URL + path
        # A watch is quiet for as long as nothing changes, and one line holds one object of any size.
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5)
        async with self._session.get(
            url, headers=self._headers, ssl=self._context, timeout=timeout, read_bufsize=2**22
        ) as answer:
            if answer.status >= 300:
                _said("GET", path, answer.status, await answer.read())
            async for line in answer.content:
                yield json.loads(line)


def _said(method: str, path: str, status: int, content: bytes) -> Object:
    """Return the object that was answered; a refusal is a Status, or plain text of a path unknown or a busy server."""
    if status < 300:
        found: Object = json.loads(content)
        return found
    text = content.decode(errors="replace").strip()
    with suppress(json.JSONDecodeError):
        text = json.loads(text)["message"]
    raise ApiError(method, path, status, text)


def is_established(definition: Object) -> bool:
    """Tell whether a CustomResourceDefinition is served."""
    conditions = (definition.get("status") or {}).get("conditions") or []
    return any(c["type"] == "Established" and c["status"] == "True" for c in conditions)


def has_rolled_out(deployment: Object) -> bool:
    """Tell whether every pod of a Deployment runs its present template and is available."""
    wanted = deployment["spec"].get("replicas", 1)
    status = deployment.get("status", {})
    counts = [status.get(name, 0) for name in ("replicas", "updatedReplicas", "availableReplicas")]
    observed = status.get("observedGeneration", 0) >= deployment["metadata"]["generation"]
    return observed and all(count == wanted for count in counts)
