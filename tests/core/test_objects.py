"""Merge patches between Kubernetes objects."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary.core.objects import canonical, merge_patch

PLAIN = st.one_of(st.none(), st.booleans(), st.integers(0, 2), st.floats(), st.text("ab", max_size=2))
VALUES = st.recursive(
    PLAIN, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text("ab"), inner, max_size=3))
)


@pytest.mark.parametrize(
    ("old", "new"), [(1, True), (1, 1.0), (0.0, -0.0), (False, 0), ({}, []), (None, False), ("", None)]
)
def test_merge_patch_tells_values_of_other_types_apart(old: Any, new: Any) -> None:
    """Python holds 1, 1.0 and True for equal; JSON does not, in lists and mappings neither."""
    assert merge_patch({"a": old}, {"a": new}) == {"a": new}
    assert merge_patch({"a": [{"b": old}]}, {"a": [{"b": new}]}) == {"a": [{"b": new}]}


@given(VALUES, VALUES)
def test_merge_patch_is_empty_for_equal_json_alone(old: Any, new: Any) -> None:
    """A list that is written as the same text is left alone, any other is replaced."""
    patch = merge_patch({"a": [old]}, {"a": [new]})
    assert bool(patch) == (canonical(old) != canonical(new))
