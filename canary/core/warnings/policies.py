"""Ports and policies that requests meet on their way: what Istio does with them, and who overrides them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from canary.api.warnings import Caution
from canary.core.mentions import rule_host
from canary.core.names import ROOT_NAMESPACE, is_ours
from canary.core.objects import Object
from canary.core.protocols import prefixed, tells_protocol
from canary.core.routes.hosts import qualified_hosts
from canary.core.routes.policy import find_rule, rule_spec
from canary.core.view import View
from canary.core.warnings.wording import listed, named

RULE, POLICY = "DestinationRule", "PeerAuthentication"


def port_unprefixed(view: View) -> Caution | None:
    """Find a port of the user's Service whose protocol Istio has to guess (R-PORT-2)."""
    apex, spec = view.snapshot.apex, view.snapshot.spec
    if apex is None or spec is None or is_ours(apex) or spec.service.carries_connections:
        return None
    for port in (apex.get("spec") or {}).get("ports") or ():
        if port.get("port") == spec.service.port and not tells_protocol(port):
            name = f'is named "{port["name"]}"' if port.get("name") else "has no name"
            return Caution(
                "PortUnprefixed",
                f"port {port['port']} of Service {view.snapshot.names.apex} {name}, which tells no protocol: metrics "
                f'may never come; name it "{prefixed(port.get("name") or "http")}", or set its appProtocol',
            )
    return None


def rule_elsewhere(view: View) -> Caution | None:
    """Find DestinationRules of other namespaces for the service's hosts (R-RES-5)."""
    hosts, here = qualified_hosts(view.snapshot.names), view.snapshot.names.namespace
    apart = [one for one in view.snapshot.surroundings.rules if one["metadata"]["namespace"] != here]
    lost = [one for one in apart if rule_host(one) == hosts["apex"]]
    won = [one for one in apart if rule_host(one) in (hosts["primary"], hosts["canary"])]
    said = []
    if lost:
        said.append(
            f"the policy of {named(lost, RULE)}, for host {hosts['apex']}, does not hold for requests that the route "
            "sends to primary and canary; put it into spec.service.trafficPolicy"
        )
    if won:
        theirs = listed(sorted({rule_host(one) for one in won}))
        said.append(
            f"the policy of {named(won, RULE)}, for host {theirs}, overrides that of this Canary for callers of its "
            "namespace; delete the rule"
        )
    return Caution("RuleElsewhere", "; ".join(said)) if said else None


def tls_disabled(view: View) -> Caution | None:
    """Find a rule that takes mutual TLS off requests to pods that take nothing else."""
    strict = _strict_policy(view)
    source = _plain_source(view) if strict is not None else None
    if strict is None or source is None:
        return None
    return Caution(
        "TlsDisabled",
        f"tls mode DISABLE is set in {source}, while {named([strict], POLICY)} asks for mTLS mode STRICT: every "
        "request under it fails; remove the tls setting, or use ISTIO_MUTUAL",
    )


def _plain_source(view: View) -> str | None:
    """Return what takes TLS off requests to the two sides: their own policy, else a rule that goes before it."""
    snapshot = view.snapshot
    given = snapshot.spec.service.traffic_policy if snapshot.spec else None
    names = snapshot.names
    rule = find_rule(snapshot.neighbours.rules, names)
    carried = rule_spec(given, rule, snapshot.route, names, names.service("primary").name)
    if carried is not None and _is_plain(carried):
        return "spec.service.trafficPolicy" if given or rule is None else named([rule], RULE)
    held = [one for one in _rules_in_force(view, carried is not None) if _is_plain(one.get("spec") or {})]
    return named(held, RULE) if held else None


def _rules_in_force(view: View, carried: bool) -> list[Object]:
    """Return the rules of others for the hosts of the two sides, as Istio looks for them.

    Those of the callers' namespaces come first, then the namespace's own, ours before a wildcard's, then the mesh's.
    """
    hosts, here = qualified_hosts(view.snapshot.names), view.snapshot.names.namespace
    sides = (hosts["primary"], hosts["canary"])
    found = [
        (one["metadata"]["namespace"], one)
        for one in view.snapshot.surroundings.rules
        if rule_host(one) in sides or rule_host(one).startswith("*")
    ]
    apart = [one for place, one in found if place not in (here, ROOT_NAMESPACE)]
    own = [one for place, one in found if place == here]
    mesh = [one for place, one in found if place == ROOT_NAMESPACE]
    return [*apart, *(() if carried else own or mesh)]


def _is_plain(spec: Mapping[str, Any]) -> bool:
    policy = spec.get("trafficPolicy") or {}
    ports = policy.get("portLevelSettings") or ()
    return any(((one or {}).get("tls") or {}).get("mode") == "DISABLE" for one in (policy, *ports))


def _strict_policy(view: View) -> Object | None:
    """Return the PeerAuthentication that has the pods take mutual TLS alone; the narrowest that speaks holds."""
    for one in _policies(view):
        mode = _mode(one, view)
        if mode not in ("", "UNSET"):
            return one if mode == "STRICT" else None
    return None


def _policies(view: View) -> Iterator[Object]:
    """Yield the PeerAuthentications for the pods: by selector, of the namespace, of the mesh; the oldest first."""
    known = sorted(
        view.snapshot.surroundings.authentications, key=lambda one: one["metadata"].get("creationTimestamp") or ""
    )
    here = [one for one in known if one["metadata"]["namespace"] == view.snapshot.names.namespace]
    labels = view.target.pod_labels if view.target else {}
    yield from (one for one in here if (wanted := _selector(one)) and wanted.items() <= labels.items())
    yield from (one for one in here if not _selector(one))
    if view.snapshot.names.namespace != ROOT_NAMESPACE:
        yield from (one for one in known if one["metadata"]["namespace"] == ROOT_NAMESPACE and not _selector(one))


def _selector(policy: Object) -> dict[str, str]:
    return ((policy.get("spec") or {}).get("selector") or {}).get("matchLabels") or {}


def _mode(policy: Object, view: View) -> str:
    """Return the mode a policy has for the service's port of the pods, empty when it names none."""
    body = policy.get("spec") or {}
    ports: Mapping[str, Any] = body.get("portLevelMtls") or {}
    port = str(view.snapshot.spec.service.pod_port) if view.snapshot.spec else ""
    levels: Sequence[Mapping[str, Any]] = (ports.get(port) or {}, body.get("mtls") or {})
    return next((str(one["mode"]) for one in levels if one.get("mode")), "")
