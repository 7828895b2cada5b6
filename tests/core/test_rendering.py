"""Values in the queries of custom checks: each in its place, and none says more than a value."""

from __future__ import annotations

import json
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary.api.metric_template import Language
from canary.core.rendering import RenderError, rendered

VALUES = {
    "name": "catalog-release",
    "namespace": "shop",
    "target": "catalog-canary",
    "canary": "catalog-canary",
    "primary": "catalog-primary",
    "target-primary": "catalog-primary",
    "service": "catalog",
    "ingress": "",
    "route": "",
    "interval": "1m",
}


def promql(text: str, **variables: str) -> str:
    """Return a query of PromQL with its values."""
    return rendered(text, VALUES | {f"variables.{key}": value for key, value in variables.items()}, "promql")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("up", "up"),
        ('a{n="{{ namespace }}"}[{{interval}}]', 'a{n="shop"}[1m]'),
        ("a{n='{{- target -}}'}", "a{n='catalog-canary'}"),
        ("a  {{- interval -}}  \n b", "a1mb"),
        ("a {{/* {{ not this */}} b", "a  b"),
        ('a{w="{{ target }}"} / a{w="{{ target }}-primary"}', 'a{w="catalog-canary"} / a{w="catalog-primary"}'),
        ('a{w=~"{{ target }}-[0-9a-z]+"}', 'a{w=~"catalog-canary-[0-9a-z]+"}'),
        ('a{w="{{ target }}-primary-x"}', 'a{w="catalog-canary-primary-x"}'),
        ('a{w="{{ primary }}", v="{{ canary }}"}', 'a{w="catalog-primary", v="catalog-canary"}'),
        ('a{s="{{ service }}-canary", i="{{ ingress }}", r="{{ route }}"}', 'a{s="catalog-canary", i="", r=""}'),
        ('a{n="{{ name }}{{ namespace }}"}', 'a{n="catalog-releaseshop"}'),
        ("a{b='c'} # it's {{ name }}\n + {{ interval }}", "a{b='c'} # it's catalog-release\n + 1m"),
    ],
)
def test_values_stand_in_their_places(text: str, expected: str) -> None:
    """As Flagger's users write them; `target` is the workload that is judged."""
    assert promql(text) == expected


@pytest.mark.parametrize(
    ("text", "value", "expected"),
    [
        ('a{b="{{ variables.x }}"}', 'c"} or vector(1) or a{b="', r'a{b="c\"} or vector(1) or a{b=\""}'),
        ("a{b='{{ variables.x }}'}", "c'} or 'd", r"a{b='c\'} or \'d'}"),
        ('a{b="{{ variables.x }}", c="d"}', "e\\", r'a{b="e\\", c="d"}'),
        ('a{b="{{ variables.x }}"}', "c\nd", r'a{b="c\nd"}'),
        ('a{b="\\"{{ variables.x }}"}', 'c"', r'a{b="\"c\""}'),
        ("a{b=`{{ variables.x }}`}", 'c"\\', 'a{b=`c"\\`}'),
        ('a{b=~"{{ variables.x }}"}', "5..|4..", 'a{b=~"5..|4.."}'),
        ("a > {{ variables.x }}", "-2.5e-3", "a > -2.5e-3"),
        ("sum by ({{ variables.x }}) (a)", "pod,zone", "sum by (pod,zone) (a)"),
        ("{{ variables.x }}_total", "job:errors", "job:errors_total"),
    ],
)
def test_value_is_escaped_as_its_place_asks(text: str, value: str, expected: str) -> None:
    """Between quotes anything is a value; elsewhere only what is one number, duration or name."""
    assert promql(text, x=value) == expected


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a{ {{ variables.x }} }", 'b="c"'),
        ("a[{{ variables.x }}]", "1m]) or vector(0"),
        ("a{b=`{{ variables.x }}`}", "c`} or a{d=`"),
        ("a + {{ variables.x }}", "b or c"),
        ("a # {{ variables.x }}", "b\n or vector(1)"),
        ('a{b="c"} {{ variables.x }}', "or b"),
        ("a{b='\"'} {{ variables.x }}", '"'),
    ],
)
def test_value_that_would_be_read_as_promql_is_refused(text: str, value: str) -> None:
    """The variable is named, with the cure."""
    with pytest.raises(RenderError, match=r"variables\.x is .*; name it between double quotes"):
        promql(text, x=value)


def test_value_that_nobody_gave_is_refused() -> None:
    """A missing variable is never an empty one."""
    with pytest.raises(RenderError, match=r"names variables\.x, which nobody gave; add x to templateVariables"):
        promql("a{b='{{ variables.x }}'}", y="1")


@given(st.text(), st.sampled_from("\"'"))
def test_any_value_between_quotes_stays_one_string(value: str, quote: str) -> None:
    """Nothing ends the quotes early; read back as Go does, the string is the value."""
    made = promql(f"a{{b={quote}{{{{ variables.x }}}}{quote}, c='d'}}", x=value)
    assert made.startswith(f"a{{b={quote}")
    assert made.endswith(f"{quote}, c='d'}}")
    inside = made.removeprefix(f"a{{b={quote}").removesuffix(f"{quote}, c='d'}}")
    left, read = iter(inside), []
    for letter in left:
        assert letter not in (quote, "\n")
        read.append({"n": "\n"}.get(follower := next(left), follower) if letter == "\\" else letter)
    assert "".join(read) == value


@given(st.text())
def test_any_value_outside_of_quotes_is_plain_or_refused(value: str) -> None:
    """Nothing that is bare can open a selector, a string, a call or a comment."""
    try:
        made = promql("a[{{ variables.x }}]", x=value)
    except RenderError:
        return
    assert not set(made[2:-1]) & set("{}()[]\"'`#= \n~!@|&")


@given(st.text(st.characters(exclude_categories=("Cs",))))
def test_any_value_in_a_url_is_one_part(value: str) -> None:
    """No value adds a path, a parameter or a fragment."""
    language: Language = "url"
    made = rendered("/s/{{ variables.x }}?a={{ variables.x }}", {"variables.x": value}, language)
    path, _, parameter = made.partition("?a=")
    assert path.count("/") == 2
    assert unquote(path.removeprefix("/s/")) == unquote(parameter) == value
    assert not set(parameter) & set("&#?/ =")
    json.dumps(made).encode("ascii")
