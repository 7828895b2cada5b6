"""`canary get` and `canary status`: what they print, to the letter."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any

from canary.adapters.kube.events import EVENT
from canary.adapters.kube.paths import collection
from canary.core.names import REVISION_LABEL, ROLE_LABEL
from canary.core.objects import DEPLOYMENT, FLAGGER_CANARY, NATIVE_CANARY, POD, VIRTUAL_SERVICE
from tests.cli.cluster import NAME, NS, Typing, canary, cluster_of

MESSAGE = "Advancing revision def to 20 % [twice]"
RUNNING: dict[str, Any] = {
    "phase": "Progressing",
    "canaryWeight": 20,
    "failedChecks": 1,
    "message": MESSAGE,
    "traffic": {"primary": 80, "canary": 20},
    "revision": {"primary": "abc", "candidate": "def"},
    "step": {"index": 2, "count": 5, "description": "2 of 5: 20 %", "startedAt": "2026-01-01T12:00:00Z"},
    "conditions": [{"type": "Ready", "status": "True", "reason": "RouteBypassed", "message": "HTTPRoute x"}],
    "checks": [
        {"name": "request-success-rate", "verdict": "Pass", "value": 99.9, "threshold": "at least 99", "samples": 300},
        {"name": "request-duration", "verdict": "NoData", "message": "no request in 1m"},
    ],
    "gates": [{"name": "go", "type": "confirm-promotion", "state": "Closed", "message": "halted by 403"}],
    "lastCommand": {"id": "1", "verb": "pause", "by": "ann", "at": "2026-01-01T12:00:01Z", "result": "Obeyed: holds"},
}


def workload(name: str, role: str = "", revision: str = "") -> dict[str, Any]:
    """Return a Deployment with the labels of a side."""
    labels = {"app": "catalog", **({ROLE_LABEL: role, REVISION_LABEL: revision} if role else {})}
    spec = {"selector": {"matchLabels": {"app": "catalog"}}, "template": {"metadata": {"labels": labels}}}
    return {"metadata": {"name": name, "namespace": NS}, "spec": spec}


def pod(name: str, role: str, ready: str, **status: Any) -> dict[str, Any]:
    """Return a pod of a side."""
    metadata = {"name": name, "namespace": NS, "labels": {"app": "catalog", ROLE_LABEL: role}}
    conditions = [{"type": "Ready", "status": ready}]
    return {"metadata": metadata, "status": {"phase": "Running", "conditions": conditions, **status}}


def route(*weights: int) -> dict[str, Any]:
    """Return a VirtualService that is shared out for the Canary."""
    owner = {"group": NATIVE_CANARY.group, "name": NAME, "uid": "u1", "target": "catalog", "apex": "catalog"}
    mark = json.dumps({**owner, "drainSeconds": 15})
    sides = zip(("primary", "canary"), weights, strict=True)
    to = [{"destination": {"host": f"catalog-{role}"}, "weight": weight} for role, weight in sides]
    metadata = {"name": "catalog", "namespace": NS, "annotations": {"canary.delivery/owner": mark}}
    return {"metadata": metadata, "spec": {"http": [{"match": [{}], "route": to}, {"route": to}]}}


def text(expected: str) -> str:
    """Return text as it is written here."""
    return textwrap.dedent(expected).lstrip("\n")


async def test_get_lists_canaries(tmp_path: Path, typed: Typing) -> None:
    """A line each, by name, with the message as it stands and without blanks behind it."""
    async with cluster_of(tmp_path, canary("web", phase="Initialized"), canary(**RUNNING)):
        assert await typed("get") == (
            0,
            text(f"""
            NAME             STATUS       WEIGHT  STEP          FAILED  REVISION  MESSAGE
            catalog-release  Progressing  20      2 of 5: 20 %  1       def       {MESSAGE}
            web              Initialized  0       -             0       -         -
            """),
            "",
        )
        assert (await typed("get", "web"))[1].count("\n") == 2
        assert json.loads((await typed("get", "-o", "json"))[1])["items"][0]["metadata"]["name"] == NAME


async def test_get_of_all_namespaces_names_them(tmp_path: Path, typed: Typing) -> None:
    """With -A the namespace comes first."""
    async with cluster_of(tmp_path) as cluster:
        cluster.place(NATIVE_CANARY, canary(), everywhere=True)
        _, out, _ = await typed("get", "-A")
    assert out.splitlines()[0].startswith("NAMESPACE  NAME ")
    assert out.splitlines()[1].startswith("shop       catalog-release  -  ")


async def test_get_tells_that_there_is_none(tmp_path: Path, typed: Typing) -> None:
    """Nothing found is no error."""
    async with cluster_of(tmp_path):
        assert await typed("get") == (0, "", "no Canary in namespace shop\n")


async def test_status_is_a_tree(tmp_path: Path, typed: Typing) -> None:
    """Target, sides with their own pods alone, routes, step, checks, gates and the last command."""
    async with cluster_of(tmp_path, canary(**RUNNING)) as cluster:
        clones = (workload("catalog-primary", "primary", "abc"), workload("catalog-canary", "canary", "def"))
        cluster.place(DEPLOYMENT, workload("catalog"), *clones)
        crashing = {"restartCount": 3, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}
        pods = (pod("p-2", "primary", "True"), pod("p-1", "primary", "True"))
        cluster.place(POD, *pods, pod("c-1", "canary", "False", containerStatuses=[crashing]))
        cluster.place(VIRTUAL_SERVICE, route(80, 20), {"metadata": {"name": "other", "namespace": NS}})
        code, out, err = await typed("status", NAME)
    assert (code, err) == (0, "")
    assert out == text(f"""
        Canary shop/catalog-release (canary.delivery): Progressing
        ├── {MESSAGE}
        ├── Ready True (RouteBypassed): HTTPRoute x
        ├── target: Deployment catalog, 0/0 pods ready
        ├── primary: Deployment catalog-primary, revision abc, 2/2 pods ready, 80 % of traffic
        │   ├── p-1: Running, ready
        │   └── p-2: Running, ready
        ├── canary: Deployment catalog-canary, revision def, 0/1 pods ready, 20 % of traffic
        │   └── c-1: Running, not ready, CrashLoopBackOff, 3 restarts
        ├── routes
        │   └── VirtualService shop/catalog
        │       ├── http 1: catalog-primary 80 % and catalog-canary 20 %, for some requests
        │       └── http 2: catalog-primary 80 % and catalog-canary 20 %
        ├── step 2 of 5: 20 %, since 12:00:00 UTC, failed checks: 1
        ├── checks
        │   ├── request-success-rate: Pass, 99.9, wanted at least 99, 300 requests
        │   └── request-duration: NoData, no request in 1m
        ├── gates
        │   └── go (confirm-promotion): Closed, halted by 403
        └── last command: pause of ann at 2026-01-01 12:00:01 UTC, Obeyed: holds
        """)


async def test_status_shows_what_there_is(tmp_path: Path, typed: Typing) -> None:
    """What is not there, and what one may not read, is told in its place."""
    async with cluster_of(tmp_path, canary()) as cluster:
        cluster.place(DEPLOYMENT, workload("catalog"))
        cluster.place(POD)
        cluster.refused[next(path for path in cluster.objects if path.endswith("/pods"))] = 403
        _, out, _ = await typed("status", NAME)
    assert out == text("""
        Canary shop/catalog-release (canary.delivery): no status yet
        ├── target: Deployment catalog
        │   └── 403: told to answer 403
        ├── primary: Deployment catalog-primary, there is none
        ├── canary: Deployment catalog-canary, there is none
        ├── routes
        │   └── the cluster does not know VirtualServices
        └── checks
            └── none yet
        """)


def told(name: str, last: str, uid: str = "u1", **more: Any) -> dict[str, Any]:
    """Return an event on the Canary, or on another one of its name."""
    about = {"metadata": {"name": f"{NAME}.{name}", "namespace": NS}, "involvedObject": {"kind": "Canary", "uid": uid}}
    return {**about, "lastTimestamp": last, "type": "Normal", "count": 1, **more}


async def test_history_lists_events_in_their_order(tmp_path: Path, typed: Typing) -> None:
    """The latest is last, within a second by name; those of a Canary that was there before are left out."""
    async with cluster_of(tmp_path, canary()) as cluster:
        late = told("b", "2026-01-01T12:01:00Z", reason="Promoted", message="done", count=3)
        early = told("c", "2026-01-01T12:00:00Z", reason="StepPassed", message="Advancing")
        first = told("a", "2026-01-01T12:00:00Z", reason="CheckFailed", message="bad", type="Warning")
        cluster.place(EVENT, late, early, first, told("d", "2025-01-01T12:00:00Z", "u0", reason="Promoted"))
        code, out, err = await typed("history", NAME)
    assert (code, err) == (0, "")
    assert out == text("""
        LAST SEEN             COUNT  TYPE     REASON       MESSAGE
        2026-01-01T12:00:00Z  1      Warning  CheckFailed  bad
        2026-01-01T12:00:00Z  1      Normal   StepPassed   Advancing
        2026-01-01T12:01:00Z  3      Normal   Promoted     done
        """)


async def test_status_counts_the_place_in_the_queue(tmp_path: Path, typed: Typing) -> None:
    """Whoever waits for a run sees how many are ahead now; without the right to list all, in the namespace."""
    own = canary(phase="Waiting", queuedAt="2026-01-01T12:00:05.5Z")
    ahead = canary("ahead", phase="Waiting", queuedAt="2026-01-01T12:00:05Z")
    runs = canary("runs", phase="Progressing")
    async with cluster_of(tmp_path, own, ahead, runs) as cluster:
        cluster.place(NATIVE_CANARY, own, ahead, runs, everywhere=True)
        cluster.place(FLAGGER_CANARY, everywhere=True)
        _, out, _ = await typed("status", NAME)
        assert "now 2nd of 2 that wait in all namespaces" in out
        cluster.refused |= dict.fromkeys((collection(one, "") for one in (NATIVE_CANARY, FLAGGER_CANARY)), 403)
        _, out, _ = await typed("status", NAME)
        assert "now 2nd of 2 that wait in namespace shop" in out
