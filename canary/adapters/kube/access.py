"""Who callers are and what they may do, as the API server tells: TokenReview and SubjectAccessReview."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from canary.adapters.kube.client import KubeClient
from canary.adapters.kube.paths import collection
from canary.core.access import Caller, Right
from canary.core.objects import NATIVE_CANARY, Resource

TOKEN_REVIEW = Resource("authentication.k8s.io", "v1", "tokenreviews", "TokenReview")
ACCESS_REVIEW = Resource("authorization.k8s.io", "v1", "subjectaccessreviews", "SubjectAccessReview")
SECONDS = 5.0


class KubeAccess:
    """Ask one API server; ``audience`` is whom tokens must be meant for, empty for the API server itself."""

    def __init__(self, client: KubeClient, audience: str = "") -> None:
        self._client = client
        self._audience = audience

    async def identify(self, token: str) -> Caller | None:
        """Return whose token this is; None when it is nobody's, or meant for somebody else."""
        audiences = {"audiences": [self._audience]} if self._audience else {}
        status = await self._review(TOKEN_REVIEW, {"token": token, **audiences})
        user = status.get("user") or {}
        meant = not self._audience or self._audience in (status.get("audiences") or ())
        if not (status.get("authenticated") is True and user.get("username") and meant):
            return None
        extra = tuple((name, tuple(values)) for name, values in sorted((user.get("extra") or {}).items()))
        return Caller(user["username"], user.get("uid", ""), tuple(user.get("groups") or ()), extra)

    async def permits(self, caller: Caller, right: Right) -> bool:
        """Return whether a caller has a right."""
        wanted = {"verb": right.verb, "group": right.group, "resource": NATIVE_CANARY.plural}
        place = {"namespace": right.namespace, "name": right.name, "subresource": right.subresource}
        attributes = {**wanted, **{name: text for name, text in place.items() if text}}
        extra = {name: list(values) for name, values in caller.extra}
        user = {"user": caller.name, "uid": caller.uid, "groups": list(caller.groups), "extra": extra}
        status = await self._review(ACCESS_REVIEW, {**user, "resourceAttributes": attributes})
        return status.get("allowed") is True and not status.get("denied")

    async def _review(self, resource: Resource, spec: Mapping[str, Any]) -> dict[str, Any]:
        body = {"apiVersion": resource.api_version, "kind": resource.kind, "spec": spec}
        answer = await self._client.write(
            "POST", collection(resource), body, resource=resource.plural, verb="create", total=SECONDS
        )
        return answer.get("status") or {}
