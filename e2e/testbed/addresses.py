"""Name every port and address range once; the network namespace is private, so constants cannot clash."""

LOOPBACK = "127.0.0.1"

ETCD_CLIENT_PORT = 2379
ETCD_PEER_PORT = 2380
API_SERVER_PORT = 6443
CONTROLLER_MANAGER_PORT = 10257
PROMETHEUS_PORT = 9090
API_PROXY_PORT = 8001

ISTIOD_HTTP_PORT = 18080
ISTIOD_WEBHOOK_PORT = 15017
ISTIOD_DISCOVERY_PORT = 15010
ISTIOD_SECURE_DISCOVERY_PORT = 15012
ISTIOD_MONITORING_PORT = 15014

ENVOY_OUTBOUND_PORT = 15001
ENVOY_INBOUND_PORT = 15006
ENVOY_STATS_PORT = 15090
# Istio keeps these out of the inbound capture: health, status, statistics and HBONE.
UNCAPTURED_INBOUND_PORTS = (15020, 15021, ENVOY_STATS_PORT, 15008)
HEALTH_PORT = 15020
ENVOY_GROUP_ID = 1337

BRIDGE = "testbed0"
NODE_NAME = "testbed-node"
NODES = (NODE_NAME, "testbed-node-2", "testbed-node-3")
"""Names of one and the same machine: all run on the first but the pods of DaemonSets, which ask for a name."""
NODE_ADDRESS = "10.44.0.1"
POD_RANGE = "10.44.0.0/16"
EVERY_ADDRESS = "0.0.0.0"
"""What pods reach listens here: on the node's address too, which is as private as the loopback."""
SERVICE_RANGE = "10.96.0.0/16"

API_SERVER_URL = f"https://{LOOPBACK}:{API_SERVER_PORT}"
API_PROXY_URL = f"http://{LOOPBACK}:{API_PROXY_PORT}"
PROMETHEUS_URL = f"http://{LOOPBACK}:{PROMETHEUS_PORT}"
PROMETHEUS_URL_FOR_PODS = f"http://{NODE_ADDRESS}:{PROMETHEUS_PORT}"
