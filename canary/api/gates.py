"""What hooks cannot be asked for."""

from canary.api.rules import NOTHING, Node, Rule, quoted

WEBHOOK = "spec.analysis.webhooks[]"
_TIMED = "has(self.gateTimeout) && self.gateTimeout != ''"

OURS = ("content-type", "x-request-id", "x-canary-timestamp", "x-canary-signature")
OF_THE_WAY = (
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
)
RESERVED = tuple(sorted((*OURS, *OF_THE_WAY)))
"""Headers that we set, or whoever carries the request."""


def header_reserved(header: Node) -> object:
    """Find a header that is not for users to set."""
    return header["name"] if header["name"].lower() in RESERVED else NOTHING


def timeout_without_gate(hook: Node) -> object:
    """Find how long a gate may stay shut at a hook that keeps none."""
    keeps = (hook.get("type") or "").startswith("confirm-")
    return NOTHING if keeps or not hook.get("gateTimeout") else hook["gateTimeout"]


def answer_without_timeout(hook: Node) -> object:
    """Find what becomes of a gate that may stay shut for ever."""
    return hook["onTimeout"] if hook.get("onTimeout") and not hook.get("gateTimeout") else NOTHING


GATE_RULES: tuple[Rule, ...] = (
    Rule(
        WEBHOOK,
        "gateTimeout",
        timeout_without_gate,
        f"{WEBHOOK}.gateTimeout is {{value}} at a hook that keeps no gate; remove it, or use type confirm-rollout, "
        "confirm-traffic-increase or confirm-promotion",
        f"!({_TIMED}) || (has(self.type) && self.type.startsWith('confirm-'))",
        quoted("self.gateTimeout"),
    ),
    Rule(
        WEBHOOK,
        "onTimeout",
        answer_without_timeout,
        f"{WEBHOOK}.onTimeout is {{value}} without gateTimeout; say how long the gate may stay shut, such as 30m",
        f"!has(self.onTimeout) || self.onTimeout == '' || ({_TIMED})",
        quoted("self.onTimeout"),
    ),
    Rule(
        f"{WEBHOOK}.headers[]",
        "name",
        header_reserved,
        f"{WEBHOOK}.headers[].name is {{value}}, which the controller or a proxy sets; remove it",
        f"!(self.name.lowerAscii() in {list(RESERVED)})",
        quoted("self.name"),
        forbidden=True,
    ),
)
