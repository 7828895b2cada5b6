"""Give pods network namespaces on a private bridge and redirect their traffic to Envoy as Istio does."""

import asyncio
import ipaddress
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from e2e.testbed import addresses

LINK_PREFIX = "veth"
NAMESPACES = Path("/run/netns")

_RUN_INSIDE = 'mount --bind "$0" /etc/hosts && exec "$@"'

_MOUNT = 'while [ "$1" != -- ]; do mount --bind "$1" "$2" || exit; shift 2; done; shift; exec "$@"'


class NetworkError(Exception):
    """Report a refused network change."""


def create_bridge() -> None:
    """Create the bridge between pods and node; a Service address that misses Envoy ends in the blackhole."""
    bridge = addresses.BRIDGE
    prefix = addresses.POD_RANGE.split("/")[1]
    steps = (
        f"link add {bridge} type bridge",
        f"addr add {addresses.NODE_ADDRESS}/{prefix} dev {bridge}",
        f"link set {bridge} up",
        f"route replace blackhole {addresses.SERVICE_RANGE}",
    )
    subprocess.run(["ip", "-batch", "-"], input="\n".join(steps), text=True, check=True)


def network_namespace(uid: str) -> str:
    """Return the name of a pod's network namespace."""
    return f"pod-{uid[:8]}"


def enter_command(namespace: str, hosts: Path) -> list[str]:
    """Return the command prefix that runs a program in a pod's network with the pod's names of Services."""
    # Not `ip netns exec`: that would want files under the machine's own /etc/netns.
    return ["nsenter", f"--net={NAMESPACES / namespace}", "--", *names_command(hosts)]


def names_command(hosts: Path) -> list[str]:
    """Return the command prefix that runs a program with the names of a hosts file."""
    return ["unshare", "--mount", "--", "sh", "-c", _RUN_INSIDE, str(hosts)]


def mount_command(mounts: Sequence[tuple[Path, Path]]) -> list[str]:
    """Return the command prefix that runs a program, in a place of its own, with folders mounted elsewhere."""
    pairs = [str(path) for pair in mounts for path in pair]
    return ["sh", "-c", _MOUNT, "mount", *pairs, "--"] if pairs else []


class AddressPool:
    """Hand out pod addresses, oldest unused first, so that a gone pod's address is not met again soon."""

    def __init__(self) -> None:
        self._used: set[str] = set()
        self._turn = self._candidates()

    def take(self, kept: str | None) -> str:
        """Return a free address, or `kept`: the API server refuses a second address for a pod."""
        address = kept or next(candidate for candidate in self._turn if candidate not in self._used)
        self._used.add(address)
        return address

    def give_back(self, address: str) -> None:
        """Make an address free again."""
        self._used.discard(address)

    def _candidates(self) -> Iterator[str]:
        network = ipaddress.ip_network(addresses.POD_RANGE)
        while True:
            for number in range(int(network.network_address) + 256, int(network.broadcast_address)):
                if number % 256 not in (0, 255):
                    yield str(ipaddress.ip_address(number))


async def create_namespace(uid: str, address: str) -> None:
    """Create a pod's network namespace with its interface on the bridge."""
    namespace, link = network_namespace(uid), f"{LINK_PREFIX}{uid[:8]}"
    prefix = addresses.POD_RANGE.split("/")[1]
    await _ip(
        f"netns add {namespace}",
        f"link add {link} type veth peer name eth0 netns {namespace}",
        f"link set {link} master {addresses.BRIDGE} up",
    )
    await _ip(
        "link set lo up",
        f"addr add {address}/{prefix} dev eth0",
        "link set eth0 up",
        f"route add {addresses.SERVICE_RANGE} via {addresses.NODE_ADDRESS}",
        namespace=namespace,
    )


async def delete_namespace(uid: str) -> None:
    """Delete a pod's network namespace if it is there."""
    namespace = network_namespace(uid)
    if (NAMESPACES / namespace).exists():
        process = await asyncio.create_subprocess_exec(*_delete_command(namespace))
        await process.wait()


def delete_all_namespaces() -> None:
    """Delete what a killed node process left."""
    for path in NAMESPACES.glob("pod-*"):
        subprocess.run(_delete_command(path.name), check=False)


def _delete_command(namespace: str) -> list[str]:
    # The kernel ends a namespace in its own time: without the first step its link could outlive the call.
    link = namespace.replace("pod-", LINK_PREFIX)
    return ["sh", "-c", f"ip link del {link} 2>/dev/null; exec ip netns del {namespace}"]


async def capture_traffic(uid: str) -> None:
    """Redirect the pod's TCP traffic through Envoy, in and out, with Istio's own rules."""
    namespace = NAMESPACES / network_namespace(uid)
    await _run(["nsenter", f"--net={namespace}", "--", "iptables-restore"], _capture_rules())


def _capture_rules() -> str:
    uncaptured = ",".join(str(port) for port in addresses.UNCAPTURED_INBOUND_PORTS)
    return f"""*nat
:ISTIO_IN - [0:0]
:ISTIO_OUT - [0:0]
-A PREROUTING -p tcp -j ISTIO_IN
-A ISTIO_IN -p tcp -m multiport --dports {uncaptured} -j RETURN
-A ISTIO_IN -p tcp -j REDIRECT --to-ports {addresses.ENVOY_INBOUND_PORT}
-A OUTPUT -p tcp -j ISTIO_OUT
-A ISTIO_OUT -m owner --gid-owner {addresses.ENVOY_GROUP_ID} -j RETURN
-A ISTIO_OUT -d 127.0.0.1/32 -j RETURN
-A ISTIO_OUT -p tcp -j REDIRECT --to-ports {addresses.ENVOY_OUTBOUND_PORT}
COMMIT
"""


async def _ip(*steps: str, namespace: str | None = None) -> None:
    place = ["-n", namespace] if namespace else []
    await _run(["ip", *place, "-batch", "-"], "\n".join(steps))


async def _run(command: list[str], text: str) -> None:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=pipe)
    _, errors = await process.communicate(text.encode())
    if process.returncode != 0:
        raise NetworkError(f"{' '.join(command)}: {errors.decode().strip()}")
