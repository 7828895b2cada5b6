"""Put the parts of ``canary run`` together and run them."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import socket
from collections.abc import Iterator
from typing import Protocol
from uuid import uuid4

import structlog
import uvicorn
from fastapi import APIRouter, FastAPI

from canary.adapters.alerts import AlertSender
from canary.adapters.asking import Asker
from canary.adapters.checks import CheckMeasurer
from canary.adapters.clock import SystemClock, instant
from canary.adapters.kube.access import KubeAccess
from canary.adapters.kube.client import KubeClient, RequestHook
from canary.adapters.kube.cluster import KubeCluster
from canary.adapters.kube.events import KubeNotifier
from canary.adapters.kube.lease import KubeLeases
from canary.adapters.webhooks import WebhookCaller
from canary.core.hosts import Hosts
from canary.core.objects import FLAGGER_CANARY, NATIVE_CANARY, SECRET, CanaryKey, Resource
from canary.core.runs import Limits
from canary.engine.configured import PINNED
from canary.engine.controller import Controller
from canary.engine.elector import Elector
from canary.engine.exposition import statuses
from canary.engine.reconcile import Reconciler
from canary.engine.runs import RunBook
from canary.engine.telemetry import Telemetry, configure_logging
from canary.engine.work import Make, work
from canary.engine.workqueue import WorkQueue
from canary.settings import Settings, SettingsError
from canary.version import version
from canary.web.api import api
from canary.web.app import create_app
from canary.web.canaries import Canaries
from canary.web.gates import gates
from canary.web.guard import Guard
from canary.web.shown import shown

_log = structlog.get_logger(__name__)


class _Stop(Exception):
    """End everything: the process was told to."""


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone: the process has its own handlers."""
        yield


async def run(settings: Settings) -> int:
    """Run the controller until SIGTERM or SIGINT and return the exit code; raise SettingsError before."""
    configure_logging(settings.log_level, settings.log_format)
    telemetry = Telemetry()
    listening = _listen(settings)
    agent, identity = f"canary-controller/{version()}", f"{settings.lease_identity}_{uuid4()}"
    # In the audit log replicas are told apart by it.
    replica = f"{agent} ({identity})" if settings.leader_election else agent
    client = await connect(settings, replica, telemetry.requested)
    groups = (NATIVE_CANARY.group, *((FLAGGER_CANARY.group,) if settings.flagger_compat else ()))
    cluster = KubeCluster(client, groups=groups, namespaces=settings.namespaces, secrets=settings.pin_secrets)
    hosts, hooks = _hooks(settings, cluster, agent, telemetry)
    measurer = _measurer(settings, cluster, agent, telemetry)
    alerter = AlertSender(agent, cluster.read, on_alert=telemetry.alert_ended, hosts=hosts)
    telemetry.canaries.follow(lambda: statuses(cluster.cached()))
    clock = SystemClock()
    pinned = (*PINNED, SECRET) if settings.pin_secrets else PINNED
    ports = cluster, measurer, hooks, KubeNotifier(client, clock), clock

    def make(queue: WorkQueue[CanaryKey], runs: RunBook) -> Controller:
        telemetry.watch_depth(lambda: len(queue))
        parts = (*ports, groups, queue.wait_dirty, telemetry, pinned, hosts, runs)
        reconciler = Reconciler(*parts, alerter=alerter, wake=queue.add)
        return Controller(queue, reconciler.reconcile, observer=telemetry.reconciled)

    _log.info("started", version=version(), groups=groups, namespaces=settings.namespaces or "all")
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_until_told(), name="signals")
            group.create_task(cluster.run(), name="cluster")
            elector = _elector(settings, client, identity, telemetry)
            group.create_task(_control(cluster, make, settings.limits, elector, telemetry), name="controller")
            app = _application(settings, client, cluster, telemetry, groups, pinned)
            group.create_task(_serve(listening, app), name="http")
    except* _Stop:
        _log.info("stopped")
    finally:
        await _close(listening, measurer, hooks, alerter, client)
    return 0


def _hooks(settings: Settings, cluster: KubeCluster, agent: str, telemetry: Telemetry) -> tuple[Hosts, WebhookCaller]:
    """Return which hosts Canaries may name, and who calls their hooks."""
    hosts = Hosts(settings.hook_hosts)
    return hosts, WebhookCaller(agent, read=cluster.read, on_answer=telemetry.hook_answered, hosts=hosts)


class _Closing(Protocol):
    async def close(self) -> None:
        """End what is under way."""


async def _close(listening: socket.socket | None, *parts: _Closing) -> None:
    for one in parts:
        await one.close()
    if listening is not None:
        listening.close()


def _measurer(settings: Settings, cluster: KubeCluster, agent: str, telemetry: Telemetry) -> CheckMeasurer:
    return CheckMeasurer(
        settings.metrics_server,
        cluster.read,
        Asker(agent, hosts=Hosts(settings.hook_hosts)),
        on_error=lambda _: telemetry.query_failed(),
        on_answer=telemetry.query_answered,
    )


def _elector(settings: Settings, client: KubeClient, identity: str, telemetry: Telemetry) -> Elector | None:
    """Return who campaigns for the lease, with all other writes fenced by it; None where one replica runs alone."""
    if not settings.leader_election:
        return None
    terms = settings.terms
    leases = KubeLeases(client, settings.lease_namespace, settings.lease_name, SystemClock(), terms.answer_within)
    elector = Elector(leases, identity, terms, instant, telemetry.led)
    client.fence = elector.allowance
    return elector


async def connect(settings: Settings, agent: str, on_request: RequestHook | None = None) -> KubeClient:
    """Return a client of the API server that the settings name; raise SettingsError."""
    try:
        return await KubeClient.connect(settings.kubeconfig, settings.context, user_agent=agent, on_request=on_request)
    except Exception as fault:
        # The library answers a wrong kubeconfig with whatever its code ran into.
        place = f"kubeconfig {settings.kubeconfig!r}" if settings.kubeconfig else "in-cluster configuration"
        context = f", context {settings.context!r}" if settings.context else ""
        raise SettingsError(f"{place}{context}: {_one_line(fault)}") from fault


def _listen(settings: Settings) -> socket.socket | None:
    """Take the port before anything else: uvicorn would end the event loop over one that is in use."""
    if not settings.http_port:
        return None
    where = f"{settings.http_host}:{settings.http_port}"
    try:
        family, *_, address = socket.getaddrinfo(
            settings.http_host, settings.http_port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.create_server((str(address[0]), int(address[1])), family=family)
        # Connections inherit it; asyncio sets it for those alone whose socket was made with a protocol.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        return listening
    except OSError as fault:
        message = f"--http-host, --http-port {where!r}: cannot listen there ({fault}); give a free port, or 0"
        raise SettingsError(message) from fault


async def _until_told() -> None:
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    await told.wait()
    _log.info("stopping")
    raise _Stop


async def _control(
    cluster: KubeCluster, make: Make, limits: Limits, elector: Elector | None, telemetry: Telemetry
) -> None:
    """Wait for the caches, and work on what they hold: at once and for good, or whenever we lead."""
    await cluster.wait_synced()
    # What is cached lives long: the collector need not look at it again each time.
    gc.collect()
    gc.freeze()
    _log.info("ready")
    if elector is None:
        telemetry.led(True, "")
        await work(cluster, make, limits)
    else:
        await elector.run(lambda: work(cluster, make, limits))


def _application(
    settings: Settings,
    client: KubeClient,
    cluster: KubeCluster,
    telemetry: Telemetry,
    groups: tuple[str, ...],
    pinned: tuple[Resource, ...],
) -> FastAPI:
    """Return what is served over HTTP; the API by every replica, whoever leads."""
    routes: tuple[APIRouter, ...] = ()
    if settings.api:
        clock, client = SystemClock(), client.for_callers()
        cluster = cluster.writing_by(client)
        guard = Guard(KubeAccess(client, settings.api_audience))
        canaries = Canaries(cluster, KubeNotifier(client, clock), clock, groups, guard, cluster.unready)
        routes = (
            api(canaries, guard, lambda key: shown(cluster, key, pinned, clock.now())),
            gates(canaries, guard),
        )
    return create_app(unready=cluster.unready, metrics=telemetry.render, api=routes)


async def _serve(listening: socket.socket | None, app: FastAPI) -> None:
    if listening is None:
        return
    config = uvicorn.Config(app, lifespan="off", log_config=None, access_log=False, timeout_graceful_shutdown=5)
    await _Server(config).serve(sockets=[listening])


def _one_line(fault: Exception) -> str:
    return " ".join(f"{fault}".split()) or type(fault).__name__
