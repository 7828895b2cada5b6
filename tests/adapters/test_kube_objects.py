"""What the caches keep, what answers mean, how long to wait."""

from __future__ import annotations

import copy
from typing import Any

import orjson
import pytest

from canary.adapters.clock import SystemClock
from canary.adapters.kube.answers import Expired, Forbidden, ServerFault, decode, encode, error_of
from canary.adapters.kube.backoff import Backoff
from canary.adapters.kube.events import event_body
from canary.adapters.kube.paths import collection, definition, single
from canary.adapters.kube.share import Sharing
from canary.adapters.kube.trim import LAST_APPLIED, trim
from canary.core.actions import Event
from canary.core.objects import (
    DEPLOYMENT,
    DESTINATION_RULE,
    FLAGGER_CANARY,
    POD,
    SERVICE,
    VIRTUAL_SERVICE,
    CanaryKey,
    Ref,
    Resource,
)
from canary.ports import ClusterError, Conflict, NotFound, Refused, Retryable


def managed(**spec: Any) -> dict[str, Any]:
    """Return a managedFields entry that owns some fields of the spec and more."""
    return {
        "manager": "kubectl",
        "operation": "Update",
        "apiVersion": "apps/v1",
        "time": "2026-01-01T00:00:00Z",
        "fieldsType": "FieldsV1",
        "fieldsV1": {"f:metadata": {"f:labels": {}}, "f:spec": {"f:template": {"x": {}}, **spec}},
    }


def sample(entries: list[dict[str, Any]]) -> dict[str, Any]:
    """Return an object as a list gives it: without kind."""
    annotations = {LAST_APPLIED: "{...}", "note": "kept"}
    return {
        "metadata": {"name": "web", "annotations": annotations, "managedFields": entries},
        "spec": {"unknown": 1},
        "status": {"replicas": 2},
    }


@pytest.mark.parametrize(
    ("resource", "fields"),
    [(DEPLOYMENT, "f:replicas"), (SERVICE, "f:selector"), (VIRTUAL_SERVICE, "f:http")],
)
def test_trim_keeps_owners_of_shared_fields(resource: Resource, fields: str) -> None:
    """Keep who owns the fields the core asks about; drop entries that own none of them."""
    obj = sample([managed(**{fields: {}}), managed()])
    before = copy.deepcopy(obj)
    kept = trim(resource, obj)
    assert obj == before
    assert kept["metadata"]["managedFields"] == [
        {
            "manager": "kubectl",
            "operation": "Update",
            "time": "2026-01-01T00:00:00Z",
            "fieldsV1": {"f:spec": {fields: {}}},
        }
    ]
    annotations = kept["metadata"]["annotations"]
    assert annotations.pop(LAST_APPLIED, None) == ('{"spec":{}}' if resource == DEPLOYMENT else None)
    assert annotations == {"note": "kept"}
    assert (kept["apiVersion"], kept["kind"]) == (resource.api_version, resource.kind)
    assert (kept["spec"], kept["status"]) == (before["spec"], before["status"])


def test_trim_keeps_writers_of_canaries() -> None:
    """Keep manager, operation and subresource alone."""
    entry = {**managed(), "subresource": "status"}
    kept = trim(FLAGGER_CANARY, sample([entry]))
    assert kept["metadata"]["managedFields"] == [{"manager": "kubectl", "operation": "Update", "subresource": "status"}]


def test_trim_drops_the_rest() -> None:
    """Keep no managedFields of other types, and no empty annotations."""
    obj = sample([managed(**{"f:replicas": {}})])
    del obj["metadata"]["annotations"]["note"]
    assert trim(DESTINATION_RULE, obj)["metadata"] == {"name": "web"}


def test_trim_keeps_of_a_pod_what_tells_whose_it_is_and_whether_it_got_a_sidecar() -> None:
    """Not what the injector wrote, nor who owns it; the status is kept, for whoever asks for whole pods."""
    metadata = {"name": "a", "namespace": "n", "uid": "u", "resourceVersion": "1", "labels": {"app": "catalog"}}
    more = {"ownerReferences": [{"name": "rs"}], "managedFields": [{"manager": "kubelet"}], "generateName": "a-"}
    marks = {"sidecar.istio.io/status": '{"containers":["istio-proxy"]}', "team": "shop"}
    pod = {"metadata": {**metadata, **more, "annotations": marks}, "status": {"phase": "Running"}}
    kept = trim(POD, pod)
    assert kept["metadata"] == {**metadata, "annotations": {"sidecar.istio.io/status": ""}}
    assert kept["status"] == pod["status"]
    assert trim(POD, {"metadata": {**metadata, "annotations": {"team": "shop"}}})["metadata"] == metadata


def test_equal_small_parts_are_kept_once() -> None:
    """Share innermost parts between objects, never parts that only compare equal across types."""
    share = Sharing()
    first = share({"limits": {"cpu": "1"}, "ports": [], "none": {}, "on": {"x": True}})
    second = share({"limits": {"cpu": "1"}, "more": {"x": 1}, "odd": {"x": 1.0}})
    assert first == {"limits": {"cpu": "1"}, "ports": [], "none": {}, "on": {"x": True}}
    assert second["limits"] is first["limits"]
    assert [type(part["x"]) for part in (first["on"], second["more"], second["odd"])] == [bool, int, float]


def test_sharing_is_bounded() -> None:
    """Forget parts rather than grow without end."""
    share = Sharing(limit=10)
    for number in range(100):
        assert share({"n": number}) == {"n": number}
    assert len(share._known) <= 10


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, Refused),
        (401, Retryable),
        (403, Forbidden),
        (404, NotFound),
        (409, Conflict),
        (410, Expired),
        (422, Refused),
        (429, Retryable),
        (500, ServerFault),
        (503, Retryable),
        (504, Expired),
        (302, Retryable),
    ],
)
def test_statuses_are_errors_of_the_port(status: int, expected: type[ClusterError]) -> None:
    """Map each status to one error that carries the server's words."""
    error = error_of(status, orjson.dumps({"kind": "Status", "message": "the words"}))
    assert type(error) is expected
    assert str(error) == f"{status}: the words"


def test_foreign_answers_are_shortened() -> None:
    """Show the start of what a load balancer says, as one line."""
    error = error_of(503, b"<html>\n  no server\n" + b"x" * 1000, "7")
    assert isinstance(error, Retryable)
    assert error.retry_after == 7
    assert str(error).startswith("503: <html> no server xxx")
    assert len(str(error)) < 220
    with pytest.raises(Retryable, match="not a JSON object"):
        decode(b"upstream connect error")


def test_retry_after_that_is_no_number_is_left_out() -> None:
    """Take seconds only."""
    error = error_of(429, b"", "Wed, 21 Oct 2026 07:28:00 GMT")
    assert isinstance(error, Retryable)
    assert error.retry_after is None


def test_bodies_may_be_any_mapping() -> None:
    """Write read-only mappings as objects."""
    from types import MappingProxyType

    assert encode({"a": MappingProxyType({"b": (1, 2)})}) == b'{"a":{"b":[1,2]}}'


def test_pauses_double_with_chance_up_to_the_longest() -> None:
    """Double from 0.2 to 30 s, shortened by up to half, and start over."""
    backoff = Backoff(chance=lambda: 0.0)
    pauses = [backoff.next() for _ in range(40)]
    assert pauses[:3] == [0.2, 0.4, 0.8]
    assert pauses[-1] == 30
    backoff.reset()
    assert backoff.next() == 0.2
    assert Backoff(chance=lambda: 1.0).next() == 0.1


def test_paths() -> None:
    """Put core and grouped types, namespaces, subresources and definitions where they live."""
    assert collection(SERVICE) == "/api/v1/services"
    assert collection(DEPLOYMENT, "shop") == "/apis/apps/v1/namespaces/shop/deployments"
    ref = Ref(FLAGGER_CANARY, "shop", "web")
    assert single(ref, "status") == "/apis/flagger.app/v1beta1/namespaces/shop/canaries/web/status"
    assert definition(FLAGGER_CANARY).endswith("/customresourcedefinitions/canaries.flagger.app")


def test_event_names_its_canary_and_fits() -> None:
    """Point at the Canary in its own group, within the lengths the server takes."""
    key = CanaryKey("flagger.app", "shop", "w" * 253)
    body = event_body(key, "u-1", Event("Synced", "m" * 2000, "Warning"), SystemClock().now())
    assert body["involvedObject"]["apiVersion"] == "flagger.app/v1beta1"
    assert body["involvedObject"]["uid"] == "u-1"
    assert body["type"] == "Warning"
    assert len(body["metadata"]["name"]) <= 253
    assert len(body["message"]) == 1024
