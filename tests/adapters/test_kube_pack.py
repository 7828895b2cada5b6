"""What many objects cost that no Canary asks for."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

from canary.adapters.kube.pack import keep, whole
from canary.adapters.kube.trim import trim
from canary.adapters.kube.watched import Watched
from canary.core.configuration import DIGEST, digest_of
from canary.core.objects import CONFIG_MAP, DEPLOYMENT, SECRET, SERVICE

PACKED = Watched(DEPLOYMENT, packed=True)
MOST = 2500
"""Bytes of memory for a Deployment of 3,400 bytes of JSON; open it takes nearly 10,000."""


def deployment(number: int) -> dict[str, Any]:
    """Return a Deployment as people have them."""
    probe = {"httpGet": {"path": "/healthz", "port": "http", "scheme": "HTTP"}, "periodSeconds": 10}
    container = {
        "name": "app",
        "image": f"example.com/app-{number}:1.0.{number}",
        "ports": [{"containerPort": 8080, "protocol": "TCP", "name": "http"}],
        "env": [{"name": f"VARIABLE_{i}", "value": f"value-{number}-{i}"} for i in range(50)],
        "resources": {"limits": {"memory": "512Mi"}, "requests": {"cpu": "100m", "memory": f"{number}Mi"}},
        "livenessProbe": probe,
        "readinessProbe": probe,
    }
    labels = {"app": f"app-{number}"}
    conditions = [{"type": name, "status": "True", "message": f"app-{number}: {name}"} for name in ("Available", "x")]
    return {
        "metadata": {
            "namespace": "shop",
            "name": f"app-{number}",
            "uid": f"uid-{number}",
            "resourceVersion": str(number),
            "annotations": {"canary.delivery/replicas": "3"},
        },
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
        "status": {"replicas": 2, "conditions": conditions, "collisionCount": None, "ratio": 0.5},
    }


def test_kept_deployment_reads_as_it_was() -> None:
    """Give back every field, whether asked for alone or as a whole."""
    body = deployment(7)
    kept, plain = keep(PACKED, body), trim(DEPLOYMENT, body)
    assert whole(kept) == plain
    assert kept == plain
    assert {**kept} == plain
    assert (kept["metadata"], kept["spec"], len(kept)) == (plain["metadata"], plain["spec"], len(plain))
    assert "status" in kept
    assert kept.get("data") is None


def test_other_types_are_kept_as_they_are() -> None:
    """Leave types open that each decision looks through."""
    body = {"metadata": {"name": "web"}, "spec": {"ports": []}}
    kept = keep(Watched(SERVICE), body)
    assert kept == trim(SERVICE, body)
    assert type(kept) is dict
    assert whole(kept) is kept


def test_metadata_alone_is_kept_where_bodies_are_not_asked_for() -> None:
    """Drop the body that an answer to a write of ours carries."""
    kept = keep(Watched(CONFIG_MAP, metadata_only=True), {"metadata": {"name": "web"}, "data": {"key": "value"}})
    assert kept == {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "web"}}


def test_configuration_is_kept_by_its_digest_and_what_says_how_it_is_taken() -> None:
    """Foreign labels and annotations go, ours and those that opt out stay; a Secret keeps its type."""
    marks = {"canary.delivery/owner": "x", "flagger.app/config-tracking": "disabled"}
    metadata = {"name": "a", "namespace": "b", "uid": "c", "resourceVersion": "1", "generation": 1}
    labels = {"canary.delivery/canary": "x"}
    body = {
        "metadata": {
            **metadata,
            "labels": {**labels, "app": "x"},
            "annotations": {**marks, "example.com/x": "y" * 999},
        },
        "data": {"key": "dmFsdWU="},
        "type": "Opaque",
    }
    assert keep(Watched(SECRET, digested=True), body) == {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            **{name: value for name, value in metadata.items() if name != "generation"},
            "labels": labels,
            "annotations": marks,
        },
        "type": "Opaque",
        DIGEST: digest_of(body),
    }


def test_deployments_cost_little() -> None:
    """Keep a Deployment in a fraction of what it takes when open."""
    texts = [json.dumps(deployment(number)) for number in range(100, 300)]
    keep(PACKED, json.loads(texts[0]))
    tracemalloc.start()
    kept = [keep(PACKED, json.loads(text)) for text in texts]
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert used / len(kept) < MOST
