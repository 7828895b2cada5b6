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
_TCP_PROXY = "envoy.filters.network.tcp_proxy"
_TCP_PROXY_TYPE = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"
_STATS_TYPE = "type.googleapis.com/envoy.extensions.access_loggers.stats.v3.Config"
_MUTATION_TYPE = "type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation"
_WORKLOAD = "%ENVIRONMENT(ISTIO_META_WORKLOAD_NAME)%"
_NAMESPACE = "%ENVIRONMENT(ISTIO_META_NAMESPACE)%"

_TAGS = {
    "response_code": "%RESPONSE_CODE%",
    "response_flags": "%RESPONSE_FLAGS%",
    "grpc_response_status": "%GRPC_STATUS_NUMBER%",
}
# Counters of connections, with the moment of Envoy's access log at which each is counted.
_CONNECTIONS = {
    "tcp_connections_opened_total": "TcpUpstreamConnected",
    "tcp_connections_closed_total": "TcpConnectionEnd",
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
        for patch in (_metrics_patch(context, "source"), _connections_patch(context, "source"), _peer_patch(context))
    ]
    incoming = [patch("SIDECAR_INBOUND", "destination") for patch in (_metrics_patch, _connections_patch)]
    return {
        "apiVersion": "networking.istio.io/v1alpha3",
        "kind": "EnvoyFilter",
        "metadata": {"name": NAME, "namespace": ROOT_NAMESPACE},
        "spec": {"configPatches": [*outgoing, *incoming]},
    }


def _match(context: str, network_filter: str = _CONNECTION_MANAGER) -> dict[str, Any]:
    return {"context": context, "listener": {"filterChain": {"filter": {"name": network_filter}}}}


def _metrics_patch(context: str, reporter: str) -> dict[str, Any]:
    config = {"@type": _CONNECTION_MANAGER_TYPE, "access_log": [_stats_logger(reporter)]}
    return _merged(_match(context), config)


def _connections_patch(context: str, reporter: str) -> dict[str, Any]:
    loggers = [_connections_logger(reporter, *one) for one in _CONNECTIONS.items()]
    at_once = {"flush_access_log_on_connected": True}
    config = {"@type": _TCP_PROXY_TYPE, "access_log": loggers, "access_log_options": at_once}
    return _merged(_match(context, _TCP_PROXY), config)


def _merged(match: dict[str, Any], config: dict[str, Any]) -> dict[str, Any]:
    return {
        "applyTo": "NETWORK_FILTER",
        "match": match,
        "patch": {"operation": "MERGE", "value": {"typed_config": config}},
    }


def _tags(reporter: str, **more: str) -> list[dict[str, str]]:
    named = {"reporter": reporter, **more, **_TAGS_BY_REPORTER[reporter]}
    return [{"name": name, "value_format": value} for name, value in named.items()]


def _connections_logger(reporter: str, counter: str, moment: str) -> dict[str, Any]:
    stat = {"name": counter, "tags": _tags(reporter)}
    config = {
        "@type": _STATS_TYPE,
        "stats_scope": {"prefix": "istio"},
        "counters": [{"stat": stat, "value_fixed": 1}],
    }
    only = {"log_type_filter": {"types": [moment]}}
    return {"name": "envoy.access_loggers.stats", "filter": only, "typed_config": config}


def _stats_logger(reporter: str) -> dict[str, Any]:
    tags = _tags(reporter, **_TAGS)
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
