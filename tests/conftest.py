"""Settings of all tests."""

from __future__ import annotations

from hypothesis import settings

# What a shared machine takes for an example says nothing about the function.
settings.register_profile("steady", settings.default, deadline=None)
settings.load_profile("steady")
