"""What a Secret holds shows nowhere: not in logs, events or status, whatever fails and whatever the other side says."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence
from typing import Any

import pytest
import structlog

from canary.adapters.asking import Asker
from canary.adapters.checks import CheckMeasurer
from canary.adapters.webhooks import WebhookCaller
from canary.core.actions import Event
from canary.core.measurement import CustomQuery, Measurement, Query
from canary.core.objects import SECRET, CanaryKey, Object, Ref, template_ref
from canary.core.snapshot import Snapshot
from canary.engine.reconcile import Reconciler
from tests.adapters.hooks import Hook, serving
from tests.builders import KEY, NS, running
from tests.engine.cluster import FakeCluster, FakeMeasurer
from tests.engine.test_reconcile import Now

WORDS = "hunter2-do-not-tell"
BASIC = base64.b64encode(f"me:{WORDS}".encode()).decode()
SECRETS: dict[str, dict[str, bytes]] = {
    "token": {"token": WORDS.encode()},
    "basic": {"username": b"me", "password": WORDS.encode() + b"\n"},
    "signed": {"hmac": WORDS.encode()},
    "lines": {"token": WORDS.encode() + b"\nmore"},
    "half": {"password": WORDS.encode()},
    "certificate": {"tls.crt": WORDS.encode(), "tls.key": WORDS.encode()},
    "authority": {"ca.crt": WORDS.encode()},
    "other": {"another": WORDS.encode()},
}
ECHO = f"you sent Authorization: Bearer {WORDS} and Basic {BASIC}"
ANSWERS: dict[str, tuple[int, str, dict[str, str]]] = {
    "no": (403, ECHO, {}),
    "unauthorized": (401, ECHO, {}),
    "broken": (500, "x" * 180 + ECHO, {}),
    "gone": (503, ECHO, {"Server": "istio-envoy"}),
    "elsewhere": (302, ECHO, {"Location": f"https://me:{WORDS}@login.example/?token={WORDS}"}),
    "nonsense": (200, ECHO, {}),
    "failed query": (400, f'{{"status": "error", "error": "{ECHO}"}}', {}),
}


class Told:
    """Keep all that people are told by events."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    async def notify(self, key: CanaryKey, uid: str, events: Sequence[Event]) -> None:
        """Keep events."""
        self.events += events


class Both(FakeMeasurer):
    """Ask custom checks for real, answer the others as a healthy world does."""

    def __init__(self, real: CheckMeasurer) -> None:
        super().__init__()
        self.real = real

    async def measure(self, query: Query) -> Measurement:
        """Answer one question."""
        return await (self.real.measure(query) if isinstance(query, CustomQuery) else super().measure(query))


async def never(key: CanaryKey) -> None:
    """Hear of no change."""
    await asyncio.get_running_loop().create_future()


def asking(url: str, secret: str) -> Snapshot:
    """Return a run at 10 % that asks a hook, tells another, and asks a check of the user's own."""
    hooks = [
        {"name": name, "type": type_, "url": url, "timeout": "5s", "secretRef": {"name": secret}}
        for name, type_ in (("asked", "rollout"), ("told", "event"))
    ]
    template = {"name": "score", "templateRef": {"name": "score"}, "thresholdRange": {"min": 1}}
    return running(10, changes={"spec.analysis.webhooks": hooks, "spec.analysis.metrics": [template]})


def score(url: str, secret: str, resource: Any) -> Object:
    """Return the MetricTemplate of the check."""
    provider = {"type": "prometheus", "address": url, "secretRef": {"name": secret}}
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": {"name": "score", "namespace": NS},
        "spec": {"provider": provider, "query": "up"},
    }


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("secret", SECRETS)
async def test_nothing_of_a_secret_is_told(secret: str, answer: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither where it is sent nor where it cannot be, and not where the other side repeats it."""
    status, body, headers = ANSWERS[answer]
    if secret != "basic":
        body = body.replace(BASIC, "")
    async with serving(Hook(answers=[(status, body, headers)])) as hook:
        world = asking(hook.url, secret)
        cluster = FakeCluster.of(world)
        data = {key: base64.b64encode(value).decode() for key, value in SECRETS[secret].items()}
        cluster.live[Ref(SECRET, NS, secret)] = {"metadata": {"name": secret, "resourceVersion": "1"}, "data": data}
        at = template_ref(KEY, NS, "score")
        cluster.objects[at] = score(hook.url, secret, at.resource)
        caller = WebhookCaller("test", read=cluster.read)
        measurer = CheckMeasurer(hook.url, cluster.read, Asker("test"))
        told = Told()
        reconciler = Reconciler(cluster, Both(measurer), caller, told, Now(45), (KEY.group,), never)
        with structlog.testing.capture_logs() as logs:
            await reconciler.reconcile(KEY)
            await caller.close()
            await measurer.close()
    out, err = capsys.readouterr()
    shown = f"{logs} {told.events} {cluster.objects[KEY.ref]['status']} {out} {err}"
    assert "score" in shown
    assert (WORDS in shown, BASIC in shown) == (False, False), shown
