"""Which hosts users may name."""

from __future__ import annotations

import pytest

from canary.core.hosts import ANY_HOST, Hosts

SOME = Hosts(("ci.example", "*.tools.svc.cluster.local", "10.0.0.7"))


@pytest.mark.parametrize("host", ["ci.example", "CI.example.", "gate.tools.svc.cluster.local", "10.0.0.7"])
def test_listed_hosts_are_asked(host: str) -> None:
    """In whatever case, with or without the last dot, and all below a name."""
    assert SOME.objection(host) is None


@pytest.mark.parametrize(
    "host", ["evil.example", "tools.svc.cluster.local", "ci.example.evil", "xci.example", "10.0.0.70", "localhost"]
)
def test_other_hosts_are_not_asked(host: str) -> None:
    """The sentence names the host and the list; without a list all may be asked."""
    assert SOME.objection(host) == (
        f"host {host} is not in the controller's hookHosts (ci.example, *.tools.svc.cluster.local, 10.0.0.7); "
        "name one of them, or add it there"
    )
    assert ANY_HOST.objection(host) is None


@pytest.mark.parametrize(
    "host", ["169.254.169.254", "169.254.0.1", "fe80::1", "fe80::1%eth0", "::ffff:169.254.169.254", "fd00:ec2::254"]
)
def test_addresses_of_the_node_are_never_asked(host: str) -> None:
    """Clouds answer there with credentials of the node, whatever is allowed."""
    for hosts in (ANY_HOST, Hosts((host,))):
        assert "an address of the node's own network, which is never asked" in (hosts.objection(host) or "")


def test_refusals_name_field_address_and_list() -> None:
    """Without what may be secret in the address."""
    hooks = [
        {"name": "good", "url": "https://ci.example/gate"},
        {"name": "bad", "url": "https://user:hunter2@evil.example/gate?token=hunter2#hunter2"},
        {"name": "unreadable", "url": "http://[::1"},
    ]
    spec = {"metricsServer": "http://169.254.169.254/latest", "analysis": {"webhooks": hooks}}
    first, second = Hosts(("ci.example",)).refusals({"spec": spec})
    assert first.startswith("spec.metricsServer is 'http://169.254.169.254/latest': host 169.254.169.254 is an address")
    assert second == (
        "spec.analysis.webhooks[1].url is 'https://evil.example/gate': host evil.example is not in the controller's "
        "hookHosts (ci.example); name one of them, or add it there"
    )
    assert Hosts(("ci.example",)).refusals({}) == ()
