"""Write the bootstrap of an upstream Envoy that istiod drives, without Istio's own agent."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from e2e.testbed import addresses
from e2e.testbed.node.identity import ISTIOD
from e2e.testbed.node.secrets import OWN_CERTIFICATE, TRUSTED_ROOT

HISTOGRAM_BUCKETS = [0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000]
DOMAIN = "cluster.local"

_HTTP_MANAGER = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"
# istiod's configuration names this cluster where it wants certificates.
_SECRETS_CLUSTER = "sds-grpc"
# Only Istio's metrics and a few signs of health: small scrapes, little memory.
_KEPT_STATS: list[dict[str, str]] = [
    {"prefix": "istio"},
    {"prefix": "listener_manager"},
    {"prefix": "cluster_manager"},
    {"prefix": "server"},
    {"contains": "update_rejected"},
    {"contains": "update_success"},
]


class Role(StrEnum):
    """What istiod configures a proxy for: beside an application, or as a gateway."""

    SIDECAR = "sidecar"
    ROUTER = "router"


@dataclass(frozen=True, slots=True)
class Sockets:
    """The unix sockets of one Envoy, so that they are reached from any network namespace."""

    admin: Path
    secrets: Path


@dataclass(frozen=True, slots=True)
class Proxy:
    """What istiod has to know about the pod that an Envoy belongs to."""

    role: Role
    pod: str
    namespace: str
    address: str
    workload: str
    labels: dict[str, str]
    annotations: dict[str, str]
    service_account: str

    @property
    def identifier(self) -> str:
        """Return the node id in Istio's form."""
        return f"{self.role}~{self.address}~{self.pod}.{self.namespace}~{self.namespace}.svc.{DOMAIN}"


def bootstrap(proxy: Proxy, sockets: Sockets) -> dict[str, Any]:
    """Build the bootstrap."""
    return {
        "node": {
            "id": proxy.identifier,
            "cluster": f"{proxy.workload}.{proxy.namespace}",
            "metadata": _metadata(proxy),
        },
        "admin": {"address": {"pipe": {"path": str(sockets.admin)}}},
        "stats_flush_interval": "1s",
        "stats_config": {
            "use_all_default_tags": False,
            "stats_matcher": {"inclusion_list": {"patterns": _KEPT_STATS}},
            "histogram_bucket_settings": [{"match": {"prefix": "istio"}, "buckets": HISTOGRAM_BUCKETS}],
        },
        "dynamic_resources": _dynamic_resources(),
        "static_resources": {
            "clusters": [
                _discovery_cluster(proxy.role),
                _socket_cluster(_SECRETS_CLUSTER, sockets.secrets),
                _socket_cluster("admin", sockets.admin),
            ],
            "listeners": [_stats_listener()],
        },
    }


def _metadata(proxy: Proxy) -> dict[str, Any]:
    return {
        "NAME": proxy.pod,
        "NAMESPACE": proxy.namespace,
        "INSTANCE_IPS": proxy.address,
        "CLUSTER_ID": "Kubernetes",
        "MESH_ID": DOMAIN,
        "ISTIO_VERSION": "1.31.0",
        "INTERCEPTION_MODE": "REDIRECT",
        "SERVICE_ACCOUNT": proxy.service_account,
        "WORKLOAD_NAME": proxy.workload,
        "LABELS": proxy.labels,
        "ANNOTATIONS": proxy.annotations,
        "NODE_NAME": addresses.NODE_NAME,
        "PROXY_CONFIG": {"concurrency": 1},
    }


def _dynamic_resources() -> dict[str, Any]:
    source = {"ads": {}, "initial_fetch_timeout": "0s", "resource_api_version": "V3"}
    return {
        "lds_config": source,
        "cds_config": source,
        "ads_config": {
            "api_type": "GRPC",
            "set_node_on_first_message_only": True,
            "transport_api_version": "V3",
            "grpc_services": [{"envoy_grpc": {"cluster_name": "xds-grpc"}}],
        },
    }


def _discovery_cluster(role: Role) -> dict[str, Any]:
    """Lead to istiod, as a gateway by mTLS: it gives the Secrets of TLS servers to callers that it knows only."""
    secure = role is Role.ROUTER
    port = addresses.ISTIOD_SECURE_DISCOVERY_PORT if secure else addresses.ISTIOD_DISCOVERY_PORT
    istiod = {"address": addresses.NODE_ADDRESS, "port_value": port}
    keepalive = {"connection_keepalive": {"interval": "30s", "timeout": "5s"}}
    options = {
        "@type": f"type.googleapis.com/{_HTTP_OPTIONS}",
        "explicit_http_config": {"http2_protocol_options": keepalive},
    }
    return {
        **_static_cluster("xds-grpc", {"socket_address": istiod}),
        **({"transport_socket": _istiod_tls()} if secure else {}),
        "typed_extension_protocol_options": {_HTTP_OPTIONS: options},
    }


def _istiod_tls() -> dict[str, Any]:
    context = {
        "alpn_protocols": ["h2"],
        "tls_certificate_sds_secret_configs": [_secret(OWN_CERTIFICATE)],
        "combined_validation_context": {
            "default_validation_context": {
                "match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": ISTIOD}}]
            },
            "validation_context_sds_secret_config": _secret(TRUSTED_ROOT),
        },
    }
    config = {"@type": _TLS, "sni": ISTIOD, "common_tls_context": context}
    return {"name": "envoy.transport_sockets.tls", "typed_config": config}


def _secret(name: str) -> dict[str, Any]:
    service = {"envoy_grpc": {"cluster_name": _SECRETS_CLUSTER}}
    source = {"api_type": "GRPC", "transport_api_version": "V3", "grpc_services": [service]}
    return {"name": name, "sds_config": {"resource_api_version": "V3", "api_config_source": source}}


def _socket_cluster(name: str, socket: Path) -> dict[str, Any]:
    return _static_cluster(name, {"pipe": {"path": str(socket)}})


def _static_cluster(name: str, address: dict[str, Any]) -> dict[str, Any]:
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": address}}]}]
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": endpoints},
    }


def _stats_listener() -> dict[str, Any]:
    route = {"match": {"prefix": "/stats/prometheus"}, "route": {"cluster": "admin"}}
    manager = {
        "@type": _HTTP_MANAGER,
        "stat_prefix": "stats",
        "codec_type": "AUTO",
        "route_config": {"virtual_hosts": [{"name": "stats", "domains": ["*"], "routes": [route]}]},
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {"@type": _ROUTER}}],
    }
    filters = [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
    socket = {"address": "0.0.0.0", "port_value": addresses.ENVOY_STATS_PORT}
    return {"name": "stats", "address": {"socket_address": socket}, "filter_chains": [{"filters": filters}]}
