"""Ask what the core wants to know: metrics from the measurer, facts about the API from the cluster."""

from __future__ import annotations

import asyncio

from canary.core.endpoints import SERVICE_NAME, count_ready
from canary.core.measurement import (
    Answer,
    ContentAnswer,
    ContentQuery,
    EndpointsAnswer,
    EndpointsQuery,
    GoneAnswer,
    GoneQuery,
    HookQuery,
    Measurement,
    PodsAnswer,
    PodsQuery,
    Query,
    TemplateAnswer,
    TemplateQuery,
    Unavailable,
)
from canary.core.objects import DEPLOYMENT, ENDPOINT_SLICE, POD, Ref
from canary.ports import Cluster, ClusterError, Hooks, Measurer


async def measure(
    cluster: Cluster, measurer: Measurer, hooks: Hooks, queries: tuple[Query, ...]
) -> tuple[Measurement, ...]:
    """Answer all queries at once; a failure is an answer."""
    return tuple(await asyncio.gather(*(_one(cluster, measurer, hooks, q) for q in queries)))


async def _one(cluster: Cluster, measurer: Measurer, hooks: Hooks, query: Query) -> Measurement:
    if isinstance(query, HookQuery):
        return Measurement(query, await hooks.ask(query))
    if isinstance(query, GoneQuery):
        return Measurement(query, await _gone(cluster, query))
    if isinstance(query, TemplateQuery):
        return Measurement(query, await _template(cluster, query))
    if isinstance(query, ContentQuery):
        return Measurement(query, await _content(cluster, query))
    if isinstance(query, PodsQuery):
        return Measurement(query, await _pods(cluster, query))
    if isinstance(query, EndpointsQuery):
        return Measurement(query, await _endpoints(cluster, query))
    return await measurer.measure(query)


async def _gone(cluster: Cluster, query: GoneQuery) -> Answer:
    try:
        found = await cluster.read(query.key.ref)
        gone = found is None and await cluster.established(query.key.ref.resource)
    except ClusterError as error:
        return Unavailable(str(error))
    return GoneAnswer(gone)


async def _content(cluster: Cluster, query: ContentQuery) -> Answer:
    try:
        found = await cluster.read(query.ref)
    except ClusterError as error:
        return Unavailable(str(error))
    return ContentAnswer(found) if found is not None else Unavailable(f"{query.ref} not found")


async def _template(cluster: Cluster, query: TemplateQuery) -> Answer:
    ref = Ref(DEPLOYMENT, query.namespace, query.deployment["metadata"]["name"])
    try:
        stored = await cluster.dry_run(ref, query.deployment)
    except ClusterError as error:
        return Unavailable(str(error))
    return TemplateAnswer(stored["spec"]["template"])


async def _pods(cluster: Cluster, query: PodsQuery) -> Answer:
    try:
        primary = await cluster.select(POD, query.namespace, dict(query.primary))
        canary = await cluster.select(POD, query.namespace, dict(query.canary))
    except ClusterError as error:
        return Unavailable(str(error))
    return PodsAnswer(tuple(primary), tuple(canary))


async def _endpoints(cluster: Cluster, query: EndpointsQuery) -> Answer:
    try:
        slices = await cluster.select(ENDPOINT_SLICE, query.ref.namespace, {SERVICE_NAME: query.ref.name})
    except ClusterError as error:
        return Unavailable(str(error))
    return EndpointsAnswer(count_ready(slices))
