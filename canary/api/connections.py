"""What a service of connections (`appProtocol: tcp`) cannot be asked for: all that takes requests."""

from canary.api.metric import BUILT_IN
from canary.api.rules import NOTHING, Node, Rule, quoted

TCP = "tcp"
_CEL_TCP = f"has(self.service.appProtocol) && self.service.appProtocol.lowerAscii() == '{TCP}'"
_REASON = "with spec.service.appProtocol tcp Istio sees connections and no requests"
_ABSENT: tuple[object, ...] = (None, False, "", [], ())
_NO_FIELD = "a route of connections has no such field, remove it"
_METRICS = "it counts requests, remove it; without metrics the readiness of the canary's pods alone is judged"


def is_tcp(protocol: object) -> bool:
    """Return whether an `appProtocol` stands for connections."""
    return str(protocol or "").lower() == TCP


def _refused(field: str, cure: str, cel: str, cel_value: str = "") -> Rule:
    """Return the rule for a field of `service`, `analysis`, or of the entries of a list of theirs."""
    *_, name = field.split(".")
    asked = field.removesuffix(f".{name}").split(".")

    def find(spec: Node) -> object:
        parent = spec.get(asked[0]) or {}
        entries = parent.get(asked[1].removesuffix("[]")) or () if len(asked) > 1 else (parent,)
        values = (one.get(name) for one in entries)
        wanted = (
            one for one in values if (one in BUILT_IN if name == "name" else one not in (None, False, "", [], ()))
        )
        return next(wanted, NOTHING) if is_tcp(spec["service"].get("appProtocol")) else NOTHING

    said = "is {value}" if cel_value else "is given"
    place = field.partition("[]")[0]
    return Rule("spec", place, find, f"spec.{field} {said}: {_REASON}; {cure}", f"!({_CEL_TCP}) || !({cel})", cel_value)


def _has(field: str) -> str:
    return f"has(self.{field})"


_NAMED = f"self.analysis.metrics.filter(one, one.name in {list(BUILT_IN)})"
_NO_COHORT = "nobody can be told apart, remove it"
_NO_COPY = "connections cannot be copied, remove it"

CONNECTION_RULES: tuple[Rule, ...] = (
    _refused(
        "service.timeout",
        _NO_FIELD,
        "has(self.service.timeout) && self.service.timeout != ''",
        quoted("self.service.timeout"),
    ),
    *(
        _refused(f"service.{field}", _NO_FIELD, _has(f"service.{field}"))
        for field in ("retries", "rewrite", "headers", "corsPolicy", "fault")
    ),
    _refused(
        "service.delegation",
        "Istio delegates routes of requests alone, remove it and name hosts and gateways here",
        "has(self.service.delegation) && self.service.delegation",
        "'true'",
    ),
    _refused("analysis.match", _NO_COHORT, "has(self.analysis.match) && size(self.analysis.match) > 0"),
    _refused("analysis.mirror", _NO_COPY, "has(self.analysis.mirror) && self.analysis.mirror", "'true'"),
    _refused("analysis.sessionAffinity", "there are no cookies, remove it", _has("analysis.sessionAffinity")),
    _refused(
        "analysis.steps[].match",
        _NO_COHORT,
        "has(self.analysis.steps) && self.analysis.steps.exists(one, has(one.match) && size(one.match) > 0)",
    ),
    _refused(
        "analysis.steps[].mirror",
        _NO_COPY,
        "has(self.analysis.steps) && self.analysis.steps.exists(one, has(one.mirror))",
    ),
    _refused(
        "analysis.metrics[].name",
        _METRICS,
        f"has(self.analysis.metrics) && size({_NAMED}) > 0",
        quoted(f"{_NAMED}[0].name"),
    ),
)
