"""The lease that replicas share, as an object of the API server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from canary.adapters.kube.client import FIELD_MANAGER, MERGE_PATCH, KubeClient
from canary.adapters.kube.paths import collection, single
from canary.core.election import Claim, Lease
from canary.core.objects import LEASE, Object, Ref
from canary.ports import Clock, NotFound, unfenced


class KubeLeases:
    """Read and write one Lease; what others added to it is kept."""

    def __init__(self, client: KubeClient, namespace: str, name: str, clock: Clock, answer_within: timedelta) -> None:
        self._client = client
        self._ref = Ref(LEASE, namespace, name)
        self._clock = clock
        self._answer_within = answer_within.total_seconds()

    async def read(self) -> Lease | None:
        """Read it live; None when it does not exist."""
        try:
            return _lease(await self._client.read(single(self._ref), resource=LEASE.plural))
        except NotFound:
            return None

    async def create(self, claim: Claim) -> Lease:
        """Make it and return it as stored; ``Conflict`` when it exists."""
        body = {
            "apiVersion": LEASE.api_version,
            "kind": LEASE.kind,
            "metadata": {"namespace": self._ref.namespace, "name": self._ref.name},
            "spec": self._spec(claim),
        }
        return await self._write("POST", collection(LEASE, self._ref.namespace), body, "create")

    async def update(self, claim: Claim, version: str) -> Lease:
        """Write it as it is at this version and return it as stored."""
        body = {"metadata": {"resourceVersion": version}, "spec": self._spec(claim)}
        return await self._write("PATCH", single(self._ref), body, "patch")

    async def _write(self, method: str, path: str, body: Object, verb: str) -> Lease:
        stored = await self._client.write(
            method,
            path,
            body,
            resource=LEASE.plural,
            verb=verb,
            params={"fieldManager": FIELD_MANAGER},
            content_type=MERGE_PATCH if method == "PATCH" else "application/json",
            total=self._answer_within,
            fence=unfenced,
        )
        return _lease(stored)

    def _spec(self, claim: Claim) -> dict[str, Any]:
        now = self._clock.now().astimezone(UTC)
        acquired = {"acquireTime": _stamp(now)} if claim.anew else {}
        return {
            "holderIdentity": claim.holder,
            "leaseDurationSeconds": int(claim.duration.total_seconds()),
            "leaseTransitions": claim.transitions,
            "renewTime": _stamp(now),
            **acquired,
        }


def _lease(obj: Object) -> Lease:
    spec = obj.get("spec") or {}
    seconds = spec.get("leaseDurationSeconds")
    return Lease(
        obj["metadata"]["resourceVersion"],
        spec.get("holderIdentity") or "",
        timedelta(seconds=seconds) if seconds is not None else None,
        spec.get("leaseTransitions") or 0,
    )


def _stamp(now: datetime) -> str:
    # Of a MicroTime the API server reads six digits, no fewer.
    return now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
