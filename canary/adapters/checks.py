"""Checks as ``Measurer``: Istio's metrics from a Prometheus, what users ask from whom they name."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

from canary.adapters.asking import Asker, AskError, Secret, address_of, shown
from canary.adapters.prometheus import PrometheusMeasurer
from canary.adapters.providers import json_over_http, prometheus
from canary.adapters.secrets import Read, read_secret, redacted
from canary.api.metric_template import JSON, PROMETHEUS
from canary.core.measurement import (
    CheckQuery,
    CustomQuery,
    DrainQuery,
    LabelsQuery,
    Measurement,
    NumbersAnswer,
    Query,
    Unavailable,
)

Ask = Callable[[Asker, CustomQuery, Secret], Awaitable[NumbersAnswer]]
PROVIDERS: dict[str, Ask] = {PROMETHEUS: prometheus.ask, JSON: json_over_http.ask}
_NAMES = {PROMETHEUS: "Prometheus"}


class CheckMeasurer:
    """Ask the controller's Prometheus, or the one a Canary or MetricTemplate names.

    Secrets are read live, each time and only those that a MetricTemplate names.
    """

    def __init__(
        self,
        server: str,
        read: Read,
        asker: Asker,
        *,
        on_error: Callable[[str], None] | None = None,
        on_answer: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        """Prepare to ask ``server`` where no other is named; ``read`` reads Secrets."""
        self._on_answer = on_answer
        self._server = server
        self._read = read
        self._asker = asker
        self._on_error = on_error
        self._servers: dict[str, PrometheusMeasurer] = {}

    async def measure(self, query: Query) -> Measurement:
        """Answer one query about metrics; failures of any kind are ``Unavailable``."""
        began = time.monotonic()
        measured = await self._measure(query)
        self._on_answer(time.monotonic() - began)
        return measured

    async def _measure(self, query: Query) -> Measurement:
        if not isinstance(query, CustomQuery):
            named = query.server if isinstance(query, (CheckQuery, DrainQuery, LabelsQuery)) else ""
            return await self._istio(named or self._server).measure(query)
        answer = await self._custom(query)
        if isinstance(answer, Unavailable) and self._on_error:
            self._on_error(answer.reason)
        return Measurement(query, answer)

    async def close(self) -> None:
        """Drop waiting questions and connections."""
        for one in self._servers.values():
            one.close()
        await self._asker.close()

    def _istio(self, server: str) -> PrometheusMeasurer:
        """Return who asks one Prometheus; each has threads of its own, so that a slow one delays no other."""
        if server not in self._servers:
            self._servers[server] = PrometheusMeasurer(server, on_error=self._on_error)
        return self._servers[server]

    async def _custom(self, query: CustomQuery) -> NumbersAnswer | Unavailable:
        provider = query.provider
        if provider.address is None:
            query = replace(query, provider=provider.model_copy(update={"address": self._server}))
        secret: Secret = {}
        try:
            secret = await self._secret(query)
            return await PROVIDERS[provider.type](self._asker, query, secret)
        except AskError as fault:
            return Unavailable(redacted(f"{_name(query)} {fault}", secret))

    async def _secret(self, query: CustomQuery) -> Secret:
        named = query.provider.secret_ref
        if named is None:
            return {}
        return await read_secret(self._read, query.namespace, named.name)


def _name(query: CustomQuery) -> str:
    who = _NAMES.get(query.provider.type, "The server")
    try:
        return f"{who} at {shown(address_of(query.provider.address or ''))}"
    except AskError:
        return who
