"""Serve a pod's Envoy its certificate by Envoy's secret discovery service, as Istio's agent does."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
from aiohttp import web

from e2e.testbed.kube import ApiError
from e2e.testbed.node import wire
from e2e.testbed.node.identity import Identity, IdentityError

OWN_CERTIFICATE = "default"
TRUSTED_ROOT = "ROOTCA"
"""The two names under which istiod's configuration asks for secrets."""

_PATH = "/envoy.service.secret.v3.SecretDiscoveryService/StreamSecrets"
_SECRET_TYPE = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
# Numbers of DiscoveryRequest's fields.
_NAMES, _NONCE, _ERROR = 3, 5, 6


class SecretServer:
    """Answer one Envoy on a unix socket; the certificate is made when it is first asked for.

    Envoy's cluster for it speaks HTTP/1.1: gRPC's frames go through chunked bodies as well.
    """

    def __init__(self, socket: Path, sign: Callable[[], Awaitable[Identity]]) -> None:
        self._socket = socket
        self._sign = sign
        self._signing = asyncio.Lock()
        self._identity: Identity | None = None
        application = web.Application()
        application.router.add_post(_PATH, self._stream)
        self._runner = web.AppRunner(application, access_log=None, handler_cancellation=True, shutdown_timeout=0.5)

    async def start(self) -> None:
        """Listen."""
        await self._runner.setup()
        await web.UnixSite(self._runner, str(self._socket)).start()

    async def stop(self) -> None:
        """End the streams and remove the socket."""
        await self._runner.cleanup()
        self._socket.unlink(missing_ok=True)

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "application/grpc"})
        await response.prepare(request)
        async for message in wire.frames(request.content):
            asked = wire.fields(message)
            if _ERROR in asked:
                self._log(f"Envoy refused: {asked[_ERROR]}")
            elif _NONCE not in asked:
                try:
                    identity = await self._known()
                except (ApiError, IdentityError, aiohttp.ClientError, TimeoutError) as error:
                    # The namespace may be going away; Envoy asks again when the stream ends.
                    self._log(f"no certificate: {error}")
                    break
                secrets = [secret(name.decode(), identity) for name in asked[_NAMES]]
                await response.write(wire.frame(discovery_response(secrets)))
        return response

    def _log(self, text: str) -> None:
        print(f"{self._socket.name}: {text}", file=sys.stderr, flush=True)

    async def _known(self) -> Identity:
        async with self._signing:
            if self._identity is None:
                self._identity = await self._sign()
            return self._identity


def secret(name: str, identity: Identity) -> bytes:
    """Encode the Secret that goes by a name."""
    if name == TRUSTED_ROOT:
        return wire.field(1, name) + wire.field(4, wire.field(1, _inline(identity.root)))
    certificate = wire.field(1, _inline(identity.chain)) + wire.field(2, _inline(identity.key))
    return wire.field(1, name) + wire.field(2, certificate)


def discovery_response(secrets: list[bytes]) -> bytes:
    """Encode a DiscoveryResponse; there is one version, as nothing changes."""
    resources = [wire.field(2, wire.field(1, _SECRET_TYPE) + wire.field(2, content)) for content in secrets]
    return wire.field(1, "1") + b"".join(resources) + wire.field(4, _SECRET_TYPE) + wire.field(5, "1")


def _inline(text: str) -> bytes:
    """Encode a DataSource."""
    return wire.field(2, text)
