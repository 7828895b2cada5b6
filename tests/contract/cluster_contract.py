"""What every ``ports.Cluster`` promises, as tests; run on the simulator's and on the real API server's.

A test module of a world subclasses ``ClusterContract`` (``class TestX(ClusterContract)``) and gives three
fixtures: ``cluster``, synced and running; ``stranger``, who writes to the same world behind its back; and
``namespace``, an existing one of its own for each test.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import pytest

from canary.core.configuration import DIGEST, digest_of
from canary.core.objects import (
    CONFIG_MAP,
    CONTROLLER_REVISION,
    DEPLOYMENT,
    DESTINATION_RULE,
    FLAGGER_CANARY,
    GATEWAY,
    POD,
    SERVICE,
    SIDECAR,
    VIRTUAL_SERVICE,
    Object,
    Ref,
    Resource,
)
from canary.ports import Cluster, Conflict, NotFound, Refused

OURS = "canary.delivery/canary"


class Stranger(Protocol):
    """Somebody else who writes to the cluster, without preconditions."""

    async def create(self, ref: Ref, body: Object) -> Object:
        """Create an object and return it as stored."""

    async def patch(self, ref: Ref, body: Mapping[str, Any]) -> Object:
        """Merge-patch an object and return it as stored."""

    async def delete(self, ref: Ref) -> None:
        """Delete an object."""


Seen = list[tuple[Resource, Object | None, Object | None]]


def version(obj: Object) -> int:
    """Return the resourceVersion as a number."""
    return int(obj["metadata"]["resourceVersion"])


def rv(obj: Object) -> str:
    """Return the resourceVersion as writes take it."""
    return str(obj["metadata"]["resourceVersion"])


def uid(obj: Object) -> str:
    """Return the uid."""
    return str(obj["metadata"]["uid"])


def deployment(image: str = "web:1") -> dict[str, Any]:
    """Return the body of a small Deployment."""
    labels = {"app": "web"}
    return {
        "metadata": {"labels": {"app": "web"}},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "web", "image": image}]},
            },
        },
    }


def route(primary: int = 100) -> dict[str, Any]:
    """Return the body of a VirtualService with two weights."""
    return {
        "spec": {
            "hosts": ["web"],
            "http": [
                {
                    "route": [
                        {"destination": {"host": "web-primary"}, "weight": primary},
                        {"destination": {"host": "web-canary"}, "weight": 100 - primary},
                    ]
                }
            ],
        }
    }


def revision(labels: dict[str, str]) -> dict[str, Any]:
    """Return the body of a ControllerRevision."""
    return {"metadata": {"labels": labels}, "revision": 1, "data": {"template": {"x": 1}}}


def canary() -> dict[str, Any]:
    """Return the body of a Canary that every version of our CRD takes."""
    return {
        "spec": {
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
            "service": {"port": 80},
            "analysis": {"interval": "45s", "threshold": 5, "maxWeight": 50, "stepWeight": 10},
        }
    }


async def eventually(condition: Callable[[], object]) -> None:
    """Wait until a condition holds; at most ten seconds."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - a cache has no event to wait for
            await asyncio.sleep(0.01)


class ClusterContract:
    """Promises of ``ports.Cluster``."""

    @pytest.fixture
    def seen(self, cluster: Cluster) -> Seen:
        """Return the list that collects every change of the cache from now on."""
        changes: Seen = []
        cluster.subscribe(lambda resource, before, after: changes.append((resource, before, after)))
        return changes

    async def test_create_is_visible_at_return(self, cluster: Cluster, namespace: str) -> None:
        """Show a created object in the cache as soon as the call returns."""
        ref = Ref(DEPLOYMENT, namespace, "web")
        stored = await cluster.create(ref, deployment())
        assert cluster.get(ref) == stored
        assert stored["apiVersion"] == "apps/v1"
        assert stored["kind"] == "Deployment"
        assert stored["metadata"]["generation"] == 1
        assert stored["spec"]["strategy"]["type"] == "RollingUpdate"

    async def test_create_twice_conflicts(self, cluster: Cluster, namespace: str) -> None:
        """Refuse to create what is there."""
        ref = Ref(DEPLOYMENT, namespace, "web")
        await cluster.create(ref, deployment())
        with pytest.raises(Conflict):
            await cluster.create(ref, deployment())

    async def test_create_refuses_wrong_objects(self, cluster: Cluster, namespace: str) -> None:
        """Raise Refused with the server's words for an object that cannot be."""
        body = deployment()
        body["spec"]["selector"] = {"matchLabels": {"app": "other"}}
        with pytest.raises(Refused, match="selector"):
            await cluster.create(Ref(DEPLOYMENT, namespace, "web"), body)

    async def test_bodies_are_left_as_they_are(self, cluster: Cluster, namespace: str) -> None:
        """Change neither the body of a create nor that of a patch."""
        ref = Ref(DEPLOYMENT, namespace, "web")
        body, patch = deployment(), {"spec": {"replicas": 3}}
        before = copy.deepcopy((body, patch))
        stored = await cluster.create(ref, body)
        await cluster.patch(ref, patch, resource_version=rv(stored))
        assert (body, patch) == before

    async def test_patch_is_visible_at_return(self, cluster: Cluster, namespace: str) -> None:
        """Show a patched object in the cache as soon as the call returns."""
        ref = Ref(DEPLOYMENT, namespace, "web")
        stored = await cluster.create(ref, deployment())
        patched = await cluster.patch(ref, {"spec": {"replicas": 3}}, resource_version=rv(stored))
        assert cluster.get(ref) == patched
        assert patched["spec"]["replicas"] == 3
        assert version(patched) > version(stored)

    async def test_patch_at_an_old_version_conflicts(self, cluster: Cluster, namespace: str) -> None:
        """Refuse a patch that was decided on an older version, and leave the object alone."""
        ref = Ref(DEPLOYMENT, namespace, "web")
        old = await cluster.create(ref, deployment())
        new = await cluster.patch(ref, {"spec": {"replicas": 3}}, resource_version=rv(old))
        with pytest.raises(Conflict):
            await cluster.patch(ref, {"spec": {"replicas": 4}}, resource_version=rv(old))
        assert await cluster.read(ref) == new

    async def test_patch_after_a_foreign_write_conflicts(
        self, cluster: Cluster, stranger: Stranger, namespace: str
    ) -> None:
        """Refuse a patch when somebody else wrote since."""
        ref = Ref(VIRTUAL_SERVICE, namespace, "web")
        stored = await cluster.create(ref, route())
        await stranger.patch(ref, {"metadata": {"annotations": {"who": "me"}}})
        with pytest.raises(Conflict):
            await cluster.patch(ref, route(90), resource_version=rv(stored))

    async def test_patch_null_removes_a_key(self, cluster: Cluster, namespace: str) -> None:
        """Remove a key by null and keep the keys beside it."""
        ref = Ref(SERVICE, namespace, "web")
        body = {"spec": {"selector": {"app": "web", "role": "primary"}, "ports": [{"port": 80}]}}
        stored = await cluster.create(ref, body)
        patched = await cluster.patch(ref, {"spec": {"selector": {"role": None}}}, resource_version=rv(stored))
        assert patched["spec"]["selector"] == {"app": "web"}

    async def test_patch_replaces_lists_and_keeps_unknown_fields(self, cluster: Cluster, namespace: str) -> None:
        """Replace a list whole; keep fields and annotations nobody here knows."""
        ref = Ref(VIRTUAL_SERVICE, namespace, "web")
        body = route()
        body["metadata"] = {"annotations": {"foreign": "yes"}}
        body["spec"]["exportTo"] = ["."]
        stored = await cluster.create(ref, body)
        patched = await cluster.patch(ref, {"spec": route(70)["spec"]}, resource_version=rv(stored))
        assert patched["spec"] == {**route(70)["spec"], "exportTo": ["."]}
        assert patched["metadata"]["annotations"] == {"foreign": "yes"}

    async def test_patch_without_effect_keeps_the_version(self, cluster: Cluster, namespace: str) -> None:
        """Store nothing when a patch changes nothing."""
        ref = Ref(DEPLOYMENT, namespace, "web")
        stored = await cluster.create(ref, deployment())
        patched = await cluster.patch(ref, {"spec": {"replicas": 2}}, resource_version=rv(stored))
        assert version(patched) == version(stored)

    async def test_missing_objects_are_not_found(self, cluster: Cluster, namespace: str) -> None:
        """Tell that there is nothing to read, patch or delete."""
        ref = Ref(DEPLOYMENT, namespace, "none")
        assert cluster.get(ref) is None
        assert await cluster.read(ref) is None
        with pytest.raises(NotFound):
            await cluster.patch(ref, {"spec": {"replicas": 1}}, resource_version="1")
        with pytest.raises(NotFound):
            await cluster.delete(ref, uid="00000000-0000-0000-0000-000000000000", resource_version="1")

    async def test_delete_is_visible_at_return(self, cluster: Cluster, namespace: str, seen: Seen) -> None:
        """Show a deleted object as gone, and keep it gone."""
        ref = Ref(DEPLOYMENT, namespace, "web")
        stored = await cluster.create(ref, deployment())
        await cluster.delete(ref, uid=uid(stored), resource_version=rv(stored))
        assert cluster.get(ref) is None
        assert await cluster.read(ref) is None
        await asyncio.sleep(0.3)
        assert cluster.get(ref) is None
        assert [(before, after) for _, before, after in seen if after is None] == [(stored, None)]

    async def test_delete_of_another_uid_conflicts(self, cluster: Cluster, namespace: str) -> None:
        """Refuse to delete the next object of the same name."""
        ref = Ref(DEPLOYMENT, namespace, "web")
        first = await cluster.create(ref, deployment())
        await cluster.delete(ref, uid=uid(first), resource_version=rv(first))
        second = await cluster.create(ref, deployment())
        with pytest.raises(Conflict):
            await cluster.delete(ref, uid=uid(first), resource_version=rv(second))
        assert cluster.get(ref) == second

    async def test_delete_at_an_old_version_conflicts(self, cluster: Cluster, namespace: str) -> None:
        """Refuse to delete an object that changed since the decision."""
        ref = Ref(DEPLOYMENT, namespace, "web")
        old = await cluster.create(ref, deployment())
        await cluster.patch(ref, {"spec": {"replicas": 3}}, resource_version=rv(old))
        with pytest.raises(Conflict):
            await cluster.delete(ref, uid=uid(old), resource_version=rv(old))

    async def test_a_finalizer_keeps_the_object(self, cluster: Cluster, stranger: Stranger, namespace: str) -> None:
        """Show an object held by a finalizer as marked for deletion until that is taken off."""
        ref = Ref(VIRTUAL_SERVICE, namespace, "web")
        body = route()
        body["metadata"] = {"finalizers": ["example.com/hold"]}
        stored = await cluster.create(ref, body)
        await cluster.delete(ref, uid=uid(stored), resource_version=rv(stored))
        held = cluster.get(ref)
        assert held is not None
        assert held["metadata"]["deletionTimestamp"]
        await stranger.patch(ref, {"metadata": {"finalizers": None}})
        await eventually(lambda: cluster.get(ref) is None)

    async def test_generation_moves_with_the_spec(self, cluster: Cluster, namespace: str) -> None:
        """Raise the generation for a new spec, never for labels, and for annotations of a Deployment."""
        for resource, body, change, expected in (
            (DEPLOYMENT, deployment(), {"spec": {"replicas": 5}}, [1, 1, 2, 3]),
            (VIRTUAL_SERVICE, route(), route(50), [1, 1, 1, 2]),
            (FLAGGER_CANARY, canary(), {"spec": {"analysis": {"threshold": 6}}}, [1, 1, 1, 2]),
        ):
            ref = Ref(resource, namespace, "web")
            stored = await cluster.create(ref, body)
            generations = [stored["metadata"]["generation"]]
            for patch in (
                {"metadata": {"labels": {"x": "y"}}},
                {"metadata": {"annotations": {"a": "b"}}},
                change,
            ):
                stored = await cluster.patch(ref, patch, resource_version=rv(stored))
                generations.append(stored["metadata"]["generation"])
            assert generations == expected, resource.kind

    async def test_status_is_written_by_its_subresource_alone(self, cluster: Cluster, namespace: str) -> None:
        """Take status from a status patch only, the rest from any other, each with the version checked."""
        ref = Ref(FLAGGER_CANARY, namespace, "web")
        stored = await cluster.create(ref, {**canary(), "status": {"phase": "Forged"}})
        assert "phase" not in (stored.get("status") or {})
        patch = {"status": {"phase": "Progressing"}, "spec": {"analysis": {"threshold": 9}}}
        told = await cluster.patch(ref, patch, resource_version=rv(stored), subresource="status")
        assert told["status"]["phase"] == "Progressing"
        assert told["spec"]["analysis"]["threshold"] == 5
        assert told["metadata"]["generation"] == 1
        with pytest.raises(Conflict):
            await cluster.patch(ref, patch, resource_version=rv(stored), subresource="status")
        spec = await cluster.patch(ref, patch | {"status": {"phase": "Lost"}}, resource_version=rv(told))
        assert spec["status"]["phase"] == "Progressing"
        assert spec["metadata"]["generation"] == 2

    async def test_foreign_writes_reach_cache_and_listener(
        self, cluster: Cluster, stranger: Stranger, namespace: str, seen: Seen
    ) -> None:
        """Report each foreign change once, with the object before and after."""
        ref = Ref(SERVICE, namespace, "web")
        created = await stranger.create(ref, {"spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]}})
        await eventually(lambda: cluster.get(ref))
        await stranger.patch(ref, {"spec": {"selector": {"app": "new"}}})
        await eventually(lambda: (cluster.get(ref) or created)["spec"]["selector"] == {"app": "new"})
        await stranger.delete(ref)
        await eventually(lambda: cluster.get(ref) is None)
        ours = [
            (before and before["spec"]["selector"]["app"], after and after["spec"]["selector"]["app"])
            for resource, before, after in seen
            if resource == SERVICE
        ]
        assert ours == [(None, "web"), ("web", "new"), ("new", None)]

    async def test_own_writes_are_told_once_and_never_go_back(
        self, cluster: Cluster, namespace: str, seen: Seen
    ) -> None:
        """Let the echo of a watch neither repeat nor undo what the answers have shown."""
        ref = Ref(VIRTUAL_SERVICE, namespace, "web")
        stored = await cluster.create(ref, route())
        for weight in range(90, 0, -10):
            stored = await cluster.patch(ref, route(weight), resource_version=rv(stored))
            assert cluster.get(ref) == stored
        await asyncio.sleep(0.3)
        assert cluster.get(ref) == stored
        versions = [version(after) for _, _, after in seen if after]
        assert versions == sorted(set(versions))
        assert len(versions) == 10

    async def test_delete_and_create_at_once_shows_the_new_one(self, cluster: Cluster, namespace: str) -> None:
        """Let the echo of a deletion not take the next object of that name."""
        ref = Ref(DEPLOYMENT, namespace, "web")
        stored = await cluster.create(ref, deployment())
        for _ in range(5):
            await cluster.delete(ref, uid=uid(stored), resource_version=rv(stored))
            stored = await cluster.create(ref, deployment())
            assert cluster.get(ref) == stored
        await asyncio.sleep(0.3)
        assert cluster.get(ref) == stored

    async def test_objects_are_found_by_the_hosts_and_gateways_they_mention(
        self, cluster: Cluster, stranger: Stranger, namespace: str
    ) -> None:
        """Follow what routes and Sidecars name as it changes, until they are gone."""
        ref, host = Ref(VIRTUAL_SERVICE, namespace, "web"), f"web-canary.{namespace}.svc.cluster.local"
        stored = await cluster.create(ref, route())
        assert [one["metadata"]["name"] for one in cluster.mentioning(VIRTUAL_SERVICE, host)] == ["web"]
        assert cluster.mentioning(DESTINATION_RULE, host) == cluster.mentioning(VIRTUAL_SERVICE, "web") == ()
        elsewhere = {"spec": {"http": [{"route": [{"destination": {"host": "x"}}]}], "gateways": ["edge/g"]}}
        await cluster.patch(ref, elsewhere, resource_version=rv(stored))
        assert cluster.mentioning(VIRTUAL_SERVICE, host) == ()
        assert len(cluster.mentioning(VIRTUAL_SERVICE, "edge/g")) == 1
        caller = Ref(SIDECAR, namespace, "caller")
        await stranger.create(caller, {"spec": {"egress": [{"hosts": [f"./{host}"]}]}})
        await eventually(lambda: cluster.mentioning(SIDECAR, host))
        await stranger.delete(caller)
        await eventually(lambda: not cluster.mentioning(SIDECAR, host))

    async def test_gateways_of_a_watched_namespace_are_seen(
        self, cluster: Cluster, stranger: Stranger, namespace: str
    ) -> None:
        """Know that a Gateway that is not in the cache does not exist, and see it come."""
        ref = Ref(GATEWAY, namespace, "edge")
        assert cluster.sees(GATEWAY, namespace)
        assert cluster.get(ref) is None
        server = {"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["shop.io"]}
        await stranger.create(ref, {"spec": {"selector": {"istio": "edge"}, "servers": [server]}})
        await eventually(lambda: cluster.get(ref))

    async def test_objects_are_selected_by_their_labels_past_the_cache(
        self, cluster: Cluster, stranger: Stranger, namespace: str
    ) -> None:
        """Read at once what others made, of a type that is not watched too, by all of the labels."""
        for name, labels in (("a", {"app": "web", "role": "canary"}), ("b", {"app": "web"})):
            await stranger.create(Ref(DEPLOYMENT, namespace, name), {**deployment(), "metadata": {"labels": labels}})
        found = await cluster.select(DEPLOYMENT, namespace, {"app": "web", "role": "canary"})
        assert [one["metadata"]["name"] for one in found] == ["a"]
        assert len(await cluster.select(DEPLOYMENT, namespace, {"app": "web"})) == 2
        assert list(await cluster.select(POD, namespace, {"app": "nothing"})) == []

    async def test_list_is_sorted_and_by_namespace(self, cluster: Cluster, namespace: str) -> None:
        """List one type in one namespace, by name."""
        for name in ("b", "a", "c"):
            await cluster.create(Ref(DEPLOYMENT, namespace, name), deployment())
        assert [obj["metadata"]["name"] for obj in cluster.list(DEPLOYMENT, namespace)] == ["a", "b", "c"]
        assert list(cluster.list(DEPLOYMENT, "elsewhere")) == []
        assert list(cluster.list(SERVICE, namespace)) == []

    async def test_only_our_revisions_are_cached(self, cluster: Cluster, stranger: Stranger, namespace: str) -> None:
        """Leave the ControllerRevisions of StatefulSets and DaemonSets out."""
        await stranger.create(Ref(CONTROLLER_REVISION, namespace, "other"), revision({"app": "db"}))
        await stranger.create(Ref(CONTROLLER_REVISION, namespace, "ours"), revision({OURS: "web"}))
        ref = Ref(CONTROLLER_REVISION, namespace, "ours")
        await eventually(lambda: cluster.get(ref))
        assert cluster.list(CONTROLLER_REVISION, namespace) == (cluster.get(ref),)

    async def test_configuration_is_cached_as_its_digest_and_read_whole(
        self, cluster: Cluster, stranger: Stranger, namespace: str
    ) -> None:
        """Caches keep no content, but tell when it changes; a read gives all of it."""
        ref = Ref(CONFIG_MAP, namespace, "settings")
        body = {"metadata": {"annotations": {"example.com/note": "x"}}, "data": {"a": "1"}, "binaryData": {"b": "AAE="}}
        await stranger.create(ref, body)
        await eventually(lambda: cluster.get(ref) is not None)
        first = cluster.get(ref) or {}
        assert (first[DIGEST], "data" in first, "binaryData" in first) == (digest_of(body), False, False)
        assert first["metadata"].get("annotations", {}) == {}
        found = await cluster.read(ref) or {}
        assert (found["data"], found["binaryData"]) == (body["data"], body["binaryData"])
        assert (cluster.get(ref) or {})[DIGEST] == first[DIGEST]
        await stranger.patch(ref, {"data": {"a": "2"}})
        await eventually(lambda: (cluster.get(ref) or {})[DIGEST] != first[DIGEST])
        made = await cluster.create(Ref(CONFIG_MAP, namespace, "copy"), {"metadata": {}, "immutable": True, "data": {}})
        assert made[DIGEST] == digest_of({})

    async def test_dry_run_returns_defaults_and_stores_nothing(
        self, cluster: Cluster, namespace: str, seen: Seen
    ) -> None:
        """Return what would be stored, and store nothing."""
        ref = Ref(DEPLOYMENT, namespace, "web")
        answer = await cluster.dry_run(ref, deployment())
        template = answer["spec"]["template"]["spec"]
        assert template["terminationGracePeriodSeconds"] == 30
        assert template["containers"][0]["imagePullPolicy"] == "IfNotPresent"
        assert cluster.get(ref) is None
        assert await cluster.read(ref) is None
        assert seen == []

    async def test_dry_run_refuses_like_create(self, cluster: Cluster, namespace: str) -> None:
        """Raise Refused for what a create would refuse."""
        body = deployment()
        body["spec"]["template"]["spec"]["containers"] = []
        with pytest.raises(Refused, match="containers"):
            await cluster.dry_run(Ref(DEPLOYMENT, namespace, "web"), body)

    async def test_last_applied_and_field_details_are_not_kept(
        self, cluster: Cluster, stranger: Stranger, namespace: str
    ) -> None:
        """Cache of last-applied only the replicas and of managedFields only who owns what the core asks for."""
        ref = Ref(DEPLOYMENT, namespace, "web")
        body = deployment()
        applied = '{"spec":{"replicas":2,"template":{}}}'
        body["metadata"]["annotations"] = {"kubectl.kubernetes.io/last-applied-configuration": applied}
        await stranger.create(ref, body)
        await eventually(lambda: cluster.get(ref))
        obj = cluster.get(ref)
        assert obj is not None
        kept = obj["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"]
        assert kept == '{"spec":{"replicas":2}}'
        owned = [entry["fieldsV1"]["f:spec"] for entry in obj["metadata"].get("managedFields", [])]
        assert owned == [{"f:replicas": {}, "f:selector": {}}]

    async def test_established_tells_whether_a_type_is_served(self, cluster: Cluster) -> None:
        """Answer for an installed type and for one nobody installed."""
        assert await cluster.established(FLAGGER_CANARY)
        assert not await cluster.established(Resource("example.com", "v1", "nothings", "Nothing"))
