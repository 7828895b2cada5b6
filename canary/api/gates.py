"""What hooks cannot be asked for together."""

from canary.api.rules import NOTHING, Node, Rule, quoted

WEBHOOK = "spec.analysis.webhooks[]"
_TIMED = "has(self.gateTimeout) && self.gateTimeout != ''"


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
)
