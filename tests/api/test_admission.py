"""What a Canary is refused for, and in which words."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary.api.admission import provider_refusals, refusals, template_refusals
from canary.api.canary import Canary
from canary.api.unsupported import UNSUPPORTED as UNSUPPORTED_RULES
from canary.api.wrong import WRONG as WRONG_RULES
from canary.api.wrong import nothing_at_once

from . import providers, templates
from .manifests import ABSENT, ACCEPTED, COHORT, UNSUPPORTED, WRONG, A, M, S, iterations, listing, steps


def _name(value: object) -> str | None:
    return value if isinstance(value, str) else None


@pytest.mark.parametrize("changes", ACCEPTED, ids=str)
def test_admission_accepts_what_this_version_does(changes: dict[str, Any]) -> None:
    """Refuse neither listing 5.1, nor empty values, nor what is supported."""
    assert refusals(listing(changes)) == ()


@pytest.mark.parametrize(("changes", "field", "sentence"), WRONG, ids=_name)
def test_admission_refuses_what_is_wrong_with_its_sentence(changes: dict[str, Any], field: str, sentence: str) -> None:
    """Blame the field in one sentence with its value and what would be right."""
    assert (field, sentence) in [(one.field, one.message) for one in refusals(listing(changes))]


@pytest.mark.parametrize("changes", templates.ACCEPTED, ids=str)
def test_admission_accepts_templates(changes: dict[str, Any]) -> None:
    """Refuse neither what Flagger's users write, nor empty values."""
    assert template_refusals(templates.template(changes)) == ()


@pytest.mark.parametrize(("changes", "field", "sentence"), templates.WRONG, ids=_name)
def test_admission_refuses_templates_with_a_sentence(changes: dict[str, Any], field: str, sentence: str) -> None:
    """Blame one field, and say of a query where in it."""
    (refusal,) = template_refusals(templates.template(changes))
    assert (refusal.field, refusal.message) == (field, sentence)


@pytest.mark.parametrize("changes", providers.ACCEPTED, ids=str)
def test_admission_accepts_providers(changes: dict[str, Any]) -> None:
    """Refuse neither what Flagger's users write, nor empty values."""
    assert provider_refusals(providers.provider(changes)) == ()


@pytest.mark.parametrize(("changes", "field", "sentence"), providers.WRONG, ids=_name)
def test_admission_refuses_providers_with_a_sentence(changes: dict[str, Any], field: str, sentence: str) -> None:
    """Blame one field, and say what would be right."""
    (refusal,) = provider_refusals(providers.provider(changes))
    assert (refusal.field, refusal.message) == (field, sentence)


@pytest.mark.parametrize(("changes", "field", "words"), UNSUPPORTED, ids=_name)
def test_admission_says_what_is_not_supported_yet(changes: dict[str, Any], field: str, words: str) -> None:
    """Refuse, once, what a later version does, and say so."""
    (refusal,) = refusals(listing(changes))
    assert refusal.field == field
    assert refusal.message.startswith(words)
    assert "not supported yet" in refusal.message


@pytest.mark.parametrize(
    ("changes", "field", "sentence"),
    [
        (
            {f"{A}.threshold": "five"},
            f"{A}.threshold",
            f'{A}.threshold is "five"; it must be of type integer',
        ),
        ({f"{A}.threshold": 1.5}, f"{A}.threshold", f"{A}.threshold is 1.5; it must be of type integer"),
        ({f"{A}.threshold": True}, f"{A}.threshold", f"{A}.threshold is true; it must be of type integer"),
        ({f"{A}.mirror": "yes"}, f"{A}.mirror", f'{A}.mirror is "yes"; it must be of type boolean'),
        ({f"{A}.metrics": "none"}, f"{A}.metrics", f'{A}.metrics is "none"; it must be of type array'),
        ({S: "catalog"}, S, f'{S} is "catalog"; it must be of type object'),
        ({S: ABSENT}, S, f"{S} is required"),
        ({A: ABSENT}, A, f"{A} is required"),
        ({f"{S}.port": ABSENT}, f"{S}.port", f"{S}.port is required"),
        ({f"{M}.0.name": ""}, f"{M}[0].name", f"{M}[].name is empty; it must be given"),
        (
            {f"{A}.sessionAffinity": {"cookieName": ""}},
            f"{A}.sessionAffinity.cookieName",
            f"{A}.sessionAffinity.cookieName is empty; it must be given",
        ),
        (
            {f"{A}.sessionAffinity": {"cookieName": "a", "sameSite": "none"}},
            f"{A}.sessionAffinity.sameSite",
            f'{A}.sessionAffinity.sameSite is "none"; supported values: "", "Strict", "Lax", "None"',
        ),
        ({"spec": ABSENT}, "spec", "spec is required"),
        (
            {f"{A}.onNoData": "Wait"},
            f"{A}.onNoData",
            f'{A}.onNoData is "Wait"; supported values: "Hold", "Fail", "Pass"',
        ),
        ({f"{A}.threshhold": 5}, f"{A}.threshhold", f'unknown field "{A}.threshhold"'),
        ({f"{M}.0.max": 5}, f"{M}[0].max", f'unknown field "{M}[0].max"'),
        (
            iterations(match=[{"headers": {"x-user": {"exakt": "tester"}}}]),
            f"{A}.match[0].headers.x-user.exakt",
            f'unknown field "{A}.match[0].headers.x-user.exakt"',
        ),
        (
            iterations(match=[{"headers": {"x-user": "tester"}}]),
            f"{A}.match[0].headers.x-user",
            f'{A}.match[].headers.x-user is "tester"; it must be of type object',
        ),
        (
            steps({"match": [{"uri": {"prefix": ""}}]}),
            f"{A}.steps[0].match[0].uri.prefix",
            f"{A}.steps[].match[].uri.prefix is empty; it must be given",
        ),
        (
            steps({"match": [{"uri": {"regex": "a" * 1025}}]}),
            f"{A}.steps[0].match[0].uri.regex",
            f"{A}.steps[].match[].uri.regex is too long; it may hold at most 1024",
        ),
    ],
    ids=_name,
)
def test_admission_translates_wrong_types(changes: dict[str, Any], field: str, sentence: str) -> None:
    """Say wrong types, missing and unknown fields in one line each."""
    assert [(one.field, one.message) for one in refusals(listing(changes))] == [(field, sentence)]


def test_admission_takes_null_for_nothing() -> None:
    """The API server drops fields that are null: those with a default have it, those that are needed are missing."""
    manifest = listing({f"{A}.interval": None, f"{S}.gateways": None})
    assert refusals(manifest) == ()
    assert Canary.parse(manifest) == Canary.parse(listing({f"{A}.interval": ABSENT, f"{S}.gateways": ABSENT}))
    assert [one.message for one in refusals(listing({f"{S}.port": None}))] == [f"{S}.port is required"]


@pytest.mark.parametrize("raw", [{}, {"spec": None}, {"spec": []}, {"metadata": {}, "spec": {"analysis": 1}}])
def test_admission_answers_for_any_object(raw: dict[str, Any]) -> None:
    """Refuse, without an exception, what is hardly a Canary."""
    assert refusals(raw)


@given(st.lists(st.integers(min_value=-5, max_value=120), min_size=1, max_size=8))
def test_admission_accepts_exactly_rising_step_weights(weights: list[int]) -> None:
    """Accept step weights when they rise strictly within 1..100."""
    manifest = listing({f"{A}.stepWeight": ABSENT, f"{A}.stepWeights": weights})
    good = all(1 <= weight <= 100 for weight in weights) and all(a < b for a, b in pairwise(weights))
    assert (refusals(manifest) == ()) == good


STEP = st.one_of(
    st.integers(1, 100).map(lambda weight: {"setWeight": weight}),
    st.integers(1, 100).map(lambda share: {"mirror": {"percentage": share}}),
    st.just({"match": COHORT}),
    st.just({"pause": {"duration": "1m"}}),
    st.just({"analysis": {"duration": "1m"}}),
)


@given(st.lists(STEP, min_size=1, max_size=8))
def test_admission_accepts_steps_exactly_when_no_exposure_is_taken_back(entries: list[dict[str, Any]]) -> None:
    """Accept any order of steps in which no weight falls and no mirror follows a weight."""
    weight = 0
    good = True
    for entry in entries:
        good = good and not (weight and "mirror" in entry) and entry.get("setWeight", 100) >= weight
        weight = entry.get("setWeight", weight)
    assert (refusals(listing(steps(*entries))) == ()) == good


@given(st.sets(st.sampled_from(["exact", "prefix", "regex"])))
def test_admission_accepts_at_most_one_condition_on_a_text(given_keys: set[str]) -> None:
    """Accept presence and one way to compare, refuse several."""
    condition = {"headers": {"x-user": dict.fromkeys(given_keys, "tester")}}
    assert (refusals(listing(iterations(match=[condition]))) == ()) == (len(given_keys) <= 1)


def test_admission_rules_each_have_a_case() -> None:
    """Break every rule in at least one case of the tables."""
    messages = [one.message for changes, _, _ in WRONG + UNSUPPORTED for one in refusals(listing(changes))]
    for rule in (*WRONG_RULES, *UNSUPPORTED_RULES):
        beginning = rule.message.split("{value}")[0]
        assert rule.find is nothing_at_once or any(said.startswith(beginning) for said in messages), rule
