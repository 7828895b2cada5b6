"""A whole release under STRICT mTLS: a permitted caller is never denied, and nobody else is ever let in."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from e2e.recorder import LATE_NEWS
from e2e.release import Release, manifests
from e2e.test_deletion import delete_canary, expect_given_back
from e2e.testbed.kube import Object
from e2e.testbed.load import Load, Rate
from e2e.testbed.waiting import wait_until

PERMITTED = "webapp"
STRANGER = "client"
SOON = timedelta(seconds=60)
LONG = timedelta(seconds=120)
A_WHILE = timedelta(seconds=1)
RESET = "connection reset by peer"
RUN = [
    ("Initialized", 0),
    *(("Progressing", weight) for weight in (0, 10, 20, 30, 40, 50)),
    *((phase, 0) for phase in ("Promoting", "Finalising", "Succeeded")),
]


@dataclass(frozen=True, slots=True)
class Callers:
    """Loads by who calls: with the permitted ServiceAccount, with another one, without a sidecar."""

    permitted: Load
    stranger: Load
    plain: Load


def principal(release: Release, service_account: str) -> str:
    """Return the name of a ServiceAccount in certificates."""
    return f"cluster.local/ns/{release.namespace}/sa/{service_account}"


def policies(release: Release) -> list[Object]:
    """Return STRICT mTLS, the denial of everything, and the permission of one ServiceAccount."""
    found = manifests("strict-mtls.yaml")
    viewer = next(one for one in found if one["metadata"]["name"] == "catalog-viewer")
    viewer["spec"]["rules"][0]["from"] = [{"source": {"principals": [principal(release, PERMITTED)]}}]
    return found


def permitted_client() -> Object:
    """Return a client that runs under the permitted ServiceAccount."""
    found = manifests("client.yaml")[0]
    template = found["spec"]["template"]
    found["metadata"]["name"] = PERMITTED
    found["spec"]["selector"]["matchLabels"] = template["metadata"]["labels"] = {"app": PERMITTED}
    template["spec"]["serviceAccountName"] = PERMITTED
    return found


@contextmanager
def callers(release: Release) -> Iterator[Callers]:
    """Put load on the service from all three kinds of callers for a while."""

    def mesh(name: str, rps: float) -> Load:
        pod = release.testbed.pods.first(release.namespace, f"app={name}")
        return release.testbed.load_mesh(release.namespace, pod, "http://catalog/items", Rate(per_second=rps))

    with (
        mesh(PERMITTED, 25) as permitted,
        mesh(STRANGER, 10) as stranger,
        release.testbed.load_endpoints(release.namespace, "catalog", "/items", Rate(per_second=10)) as plain,
    ):
        yield Callers(permitted, stranger, plain)


def test_strict_mtls_and_policies_hold_for_every_caller_through_a_whole_release(release: Release) -> None:
    """From the takeover to the give-back the policy that selects the service's label covers whoever serves."""
    release.apply(*policies(release), permitted_client())
    release.bring_up(release.deployment("v1"), *manifests("catalog-service.yaml"))
    release.testbed.wait_ready(release.namespace, PERMITTED)
    with callers(release) as loads:
        began = datetime.now(UTC)
        release.apply(release.canary())
        release.wait_for("Initialized")
        loads.permitted.next_window(A_WHILE)
        release.apply(release.deployment("v2"))
        release.wait_for("Progressing", 50, within=LONG)
        for workload in ("catalog-primary", "catalog-canary"):
            expect_metrics(release, workload)
        release.wait_for("Succeeded", within=LONG)
        loads.permitted.next_window(A_WHILE)
        deleted = datetime.now(UTC)
        delete_canary(release)
        expect_given_back(release, "v2")
        loads.permitted.next_window(A_WHILE)
    rows = [row for row in release.rows() if row.phase != "Initializing"]
    assert [(row.phase, row.weight) for row in rows] == RUN
    moments = [began, *(row.at for row in rows), deleted, datetime.now(UTC)]
    _, first_weight = (seen.at for seen in release.recorder.seen("virtualservices", "catalog")[:2])
    # Without Service APEX-target the target's own sidecars drop the apex before callers are told: 503 at the takeover.
    for load, status in ((loads.permitted, 200), (loads.stranger, 403), (loads.plain, 0)):
        assert set(load.summary().by_status) == {status}, str(load.summary())
    for load in (loads.permitted, loads.stranger, loads.plain):
        for since, until in pairwise(moments):
            assert load.answers(since, until), f"nobody called between {since} and {until}"
    assert {answer.error.rpartition(": ")[2] for answer in loads.plain.answers()} == {RESET}
    assert set(loads.permitted.summary(until=first_weight - LATE_NEWS).by_version) == {"v1"}
    assert set(loads.permitted.summary(rows[2].at, rows[7].at).by_version) == {"v1", "v2"}
    assert set(loads.permitted.summary(deleted).by_version) == {"v2"}


def expect_metrics(release: Release, workload: str) -> None:
    """Wait until a workload's own proxies have counted who called, by mTLS, and what came of it."""
    expected = {
        ("mutual_tls", principal(release, PERMITTED), PERMITTED, "200"),
        ("mutual_tls", principal(release, "default"), STRANGER, "403"),
    }
    labels = ("connection_security_policy", "source_principal", "source_workload", "response_code")
    where = f'reporter="destination",destination_workload_namespace="{release.namespace}"'

    def counted() -> set[tuple[str, ...]]:
        samples = release.testbed.prom_query(f'istio_requests_total{{{where},destination_workload="{workload}"}}')
        return {tuple(sample["metric"].get(label, "") for label in labels) for sample in samples}

    wait_until(lambda: counted() == expected, SOON, lambda: f"{workload}: {counted()}")
