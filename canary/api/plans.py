"""What no version accepts of a plan: its kind, its steps and their conditions."""

from collections.abc import Iterator
from itertools import pairwise

from canary.api.rules import NOTHING, Node, Rule, Unquoted, quoted

PLANS = ("stepWeight", "stepWeights", "iterations", "steps")
STEP_KEYS = ("setWeight", "pause", "match", "mirror", "analysis")
STRING_MATCH_KEYS = ("exact", "prefix", "regex")
TEXT_KEYS = (*STRING_MATCH_KEYS, "suffix")
STEPS = "spec.analysis.steps[]"
CONDITIONS = ("spec.analysis.match[]", f"{STEPS}.match[]")
TEXTS = ("uri", "scheme", "method", "authority", "headers.*", "queryParams.*", "withoutHeaders.*")


def plans_other_than_one(spec: Node) -> object:
    """Find an analysis that gives no plan, or several."""
    given = [plan for plan in PLANS if spec["analysis"].get(plan)]
    return NOTHING if spec.get("skipAnalysis") or len(given) == 1 else _listed(given)


def weights_not_rising(analysis: Node) -> object:
    """Find step weights of which one is not above the one before it."""
    weights = analysis.get("stepWeights") or ()
    rising = all(one < following for one, following in pairwise(weights))
    return NOTHING if rising else weights


def cohort_without_iterations(analysis: Node) -> object:
    """Find a cohort that no iteration is made for."""
    return analysis["match"] if analysis.get("match") and not analysis.get("iterations") else NOTHING


def keys_other_than_one(step: Node) -> object:
    """Find a step that says nothing, or several things."""
    given = [key for key in STEP_KEYS if step.get(key) is not None and (key != "match" or step[key])]
    return NOTHING if len(given) == 1 else _listed(given)


def weights_falling(analysis: Node) -> object:
    """Find steps of which one sets a lower weight than one before it."""
    weights = _set_weights(analysis)
    return NOTHING if weights == sorted(weights) else weights


def mirror_after_weight(analysis: Node) -> object:
    """Find a mirror step after one that gives the canary a weight."""
    keys = ("mirror", "setWeight")
    steps = [step for step in analysis.get("steps") or () if any(step.get(key) is not None for key in keys)]
    ranks = [0 if step.get("mirror") is not None else 1 for step in steps]
    return NOTHING if ranks == sorted(ranks) else steps


def soak_without_end(soak: Node) -> object:
    """Find a stay of no length."""
    return NOTHING if soak["duration"] else soak["duration"]


def several_conditions(text: Node) -> object:
    """Find a text that is compared in several ways."""
    given = [key for key in STRING_MATCH_KEYS if text.get(key) is not None]
    return NOTHING if len(given) <= 1 else _listed(given)


def condition_for_everybody(condition: Node) -> object:
    """Find a condition that every request meets: its cohort would be all live traffic."""
    given = (condition.get(field) for field in _NARROWS)
    return NOTHING if any(one not in (None, "", {}, [], ()) for one in given) else Unquoted("")


def suffix_given(text: Node) -> object:
    """Find a text that is compared by its end."""
    return NOTHING if text.get("suffix") is None else text["suffix"]


def _listed(given: list[str]) -> Unquoted:
    return Unquoted("".join(f" {key}" for key in given or ["none"]))


def _set_weights(analysis: Node) -> list[int]:
    steps = analysis.get("steps") or ()
    return [step["setWeight"] for step in steps if step.get("setWeight") is not None]


def _cel_list(has: dict[str, str]) -> str:
    """Return a CEL expression of the names whose expression in `has` is true, as `_listed` writes them."""
    parts = [f"{expression} ? ' {name}' : ''" for name, expression in has.items()]
    none = " && ".join(f"!({expression})" for expression in has.values())
    return f"'{'%s' * (len(has) + 1)}'.format([{', '.join(parts)}, {none} ? ' none' : ''])"


_HAS_PLAN = {
    "stepWeight": "has(self.analysis.stepWeight) && self.analysis.stepWeight > 0",
    "stepWeights": "has(self.analysis.stepWeights) && size(self.analysis.stepWeights) > 0",
    "iterations": "has(self.analysis.iterations) && self.analysis.iterations > 0",
    "steps": "has(self.analysis.steps) && size(self.analysis.steps) > 0",
}
_HAS_KEY = {
    key: f"has(self.{key})" if key != "match" else "has(self.match) && size(self.match) > 0" for key in STEP_KEYS
}
_HAS_STRING = {key: f"has(self.{key})" for key in STRING_MATCH_KEYS}
_NARROWS = {
    **{
        text: f"has(self.{text}) && ({' || '.join(f'has(self.{text}.{key})' for key in TEXT_KEYS)})"
        for text in TEXTS
        if "." not in text
    },
    **{
        several: f"has(self.{several}) && size(self.{several}) > 0"
        for several in ("headers", "queryParams", "withoutHeaders", "sourceLabels", "gateways")
    },
    "port": "has(self.port)",
    "sourceNamespace": "has(self.sourceNamespace) && self.sourceNamespace != ''",
}
_SET_WEIGHTS = "self.steps.filter(step, has(step.setWeight)).map(step, step.setWeight)"
# 0 for a mirror, 1 for a weight: in order when no mirror comes after a weight.
_MIRRORS_FIRST = (
    "self.steps.filter(step, has(step.mirror) || has(step.setWeight)).map(step, has(step.mirror) ? 0 : 1).isSorted()"
)


def _condition_rules() -> Iterator[Rule]:
    cel = " || ".join(f"({given})" for given in _NARROWS.values())
    for path in CONDITIONS:
        yield Rule(
            path,
            "",
            condition_for_everybody,
            f"{path} names nothing that a request must have, so that it would take them all; name a header or a path",
            cel,
        )


def _string_rules() -> Iterator[Rule]:
    for path in (f"{condition}.{text}" for condition in CONDITIONS for text in TEXTS):
        yield Rule(
            path,
            "",
            several_conditions,
            f"{path} must have at most one of exact, prefix and regex; given:{{value}}",
            " + ".join(f"({has} ? 1 : 0)" for has in _HAS_STRING.values()) + " <= 1",
            _cel_list(_HAS_STRING),
        )
        yield Rule(
            path,
            "suffix",
            suffix_given,
            f"{path}.suffix is {{value}}, which Istio does not know; use regex",
            "!has(self.suffix)",
            quoted("self.suffix"),
        )


PLAN_RULES: tuple[Rule, ...] = (
    Rule(
        "spec",
        "analysis",
        plans_other_than_one,
        "spec.analysis must have exactly one of stepWeight, stepWeights, iterations and steps; given:{value}",
        f"(has(self.skipAnalysis) && self.skipAnalysis) || [{', '.join(_HAS_PLAN.values())}].exists_one(given, given)",
        _cel_list(_HAS_PLAN),
    ),
    Rule(
        "spec.analysis",
        "stepWeights",
        weights_not_rising,
        "spec.analysis.stepWeights is {value}; each weight must be greater than the one before it",
        "!has(self.stepWeights) || (self.stepWeights.isSorted() && "
        "self.stepWeights.all(one, self.stepWeights.exists_one(other, other == one)))",
        "self.stepWeights",
    ),
    Rule(
        "spec.analysis",
        "match",
        cohort_without_iterations,
        "spec.analysis.match needs iterations; for weights after a cohort use steps[].match",
        "!has(self.match) || size(self.match) == 0 || (has(self.iterations) && self.iterations > 0)",
    ),
    Rule(
        STEPS,
        "",
        keys_other_than_one,
        f"{STEPS} must have exactly one of setWeight, pause, match, mirror and analysis; given:{{value}}",
        f"[{', '.join(_HAS_KEY.values())}].exists_one(given, given)",
        _cel_list(_HAS_KEY),
    ),
    Rule(
        "spec.analysis",
        "steps",
        weights_falling,
        f"{STEPS}.setWeight is in turn {{value}}; no weight may be lower than the one before it",
        f"!has(self.steps) || {_SET_WEIGHTS}.isSorted()",
        _SET_WEIGHTS,
    ),
    Rule(
        "spec.analysis",
        "steps",
        mirror_after_weight,
        f"{STEPS}.mirror comes after a setWeight; mirror before the canary has a weight, "
        "when the copies are of requests to the primary alone",
        f"!has(self.steps) || {_MIRRORS_FIRST}",
    ),
    Rule(
        f"{STEPS}.analysis",
        "duration",
        soak_without_end,
        f"{STEPS}.analysis.duration is {{value}}; say how long to stay, such as 5m",
        "self.duration != ''",
        quoted("self.duration"),
    ),
    *_condition_rules(),
    *_string_rules(),
)
