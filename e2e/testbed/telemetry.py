"""Give upstream Envoy the metrics of Istio's own proxy, through an EnvoyFilter for the whole mesh."""

from typing import Any

NAME = "testbed-telemetry"
ROOT_NAMESPACE = "istio-system"
# Stands for Istio's metadata exchange: the callee learns who calls.
PEER_HEADER = "x-testbed-peer"

_CONNECTION_MANAGER = "envoy.filters.network.http_connection_manager"
_CONNECTION_MANAGER_TYPE = (
    "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
)
_STATS_TYPE = "type.googleapis.com/envoy.extensions.access_loggers.stats.v3.Config"
_MUTATION_TYPE = "type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation"
_WORKLOAD = "%ENVIRONMENT(ISTIO_META_WORKLOAD_NAME)%"
_NAMESPACE = "%ENVIRONMENT(ISTIO_META_NAMESPACE)%"

_TAGS = {
    "response_code": "%RESPONSE_CODE%",
    "response_flags": "%RESPONSE_FLAGS%",
    "grpc_response_status": "%GRPC_STATUS_NUMBER%",
}
# What one side cannot know as single labels goes out as one string; Prometheus splits it by relabelling.
_TAGS_BY_REPORTER = {
    "source": {
        "source_workload": _WORKLOAD,
        "source_workload_namespace": _NAMESPACE,
        "dst_meta": "%UPSTREAM_METADATA(istio:workload)%",
        "dst_cluster": "%UPSTREAM_CLUSTER_RAW%",
    },
    "destination": {
        "peer": f"%REQ({PEER_HEADER})%",
        "destination_workload": _WORKLOAD,
        "destination_workload_namespace": _NAMESPACE,
        "dst_services": "%METADATA(CLUSTER:istio:services)%",
        "source_principal": "%DOWNSTREAM_PEER_URI_SAN%",
        "connection_security_policy": "%DOWNSTREAM_TLS_VERSION%",
    },
}


def telemetry_filter() -> dict[str, Any]:
    """Build the EnvoyFilter; apply it before the pods, a change starts the counters anew."""
    outgoing = [
        patch
        for context in ("SIDECAR_OUTBOUND", "GATEWAY")
        for patch in (_metrics_patch(context, "source"), _peer_patch(context))
    ]
    return {
        "apiVersion": "networking.istio.io/v1alpha3",
        "kind": "EnvoyFilter",
        "metadata": {"name": NAME, "namespace": ROOT_NAMESPACE},
        "spec": {"configPatches": [*outgoing, _metrics_patch("SIDECAR_INBOUND", "destination")]},
    }


def _match(context: str) -> dict[str, Any]:
    return {"context": context, "listener": {"filterChain": {"filter": {"name": _CONNECTION_MANAGER}}}}


def _metrics_patch(context: str, reporter: str) -> dict[str, Any]:
    config = {"@type": _CONNECTION_MANAGER_TYPE, "access_log": [_stats_logger(reporter)]}
    return {
        "applyTo": "NETWORK_FILTER",
        "match": _match(context),
        "patch": {"operation": "MERGE", "value": {"typed_config": config}},
    }


def _stats_logger(reporter: str) -> dict[str, Any]:
    named = {"reporter": reporter, **_TAGS, **_TAGS_BY_REPORTER[reporter]}
    tags = [{"name": name, "value_format": value} for name, value in named.items()]
    histogram = {
        "stat": {"name": "request_duration_milliseconds", "tags": tags},
        "unit": "Milliseconds",
        "value_format": "%DURATION%",
    }
    config = {
        "@type": _STATS_TYPE,
        "stats_scope": {"prefix": "istio"},
        "counters": [{"stat": {"name": "requests_total", "tags": tags}, "value_fixed": 1}],
        "histograms": [histogram],
    }
    return {"name": "envoy.access_loggers.stats", "typed_config": config}


def _peer_patch(context: str) -> dict[str, Any]:
    header = {"key": PEER_HEADER, "value": f"{_WORKLOAD};{_NAMESPACE}"}
    mutation = {"append": {"header": header, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}}
    config = {"@type": _MUTATION_TYPE, "mutations": {"request_mutations": [mutation]}}
    return {
        "applyTo": "HTTP_FILTER",
        "match": _match(context),
        "patch": {"operation": "INSERT_FIRST", "value": {"name": "testbed.peer", "typed_config": config}},
    }
