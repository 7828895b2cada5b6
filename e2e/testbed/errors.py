"""Name what can go wrong with the testbed itself."""


class TestbedError(Exception):
    """Report in one line what is missing or did not start."""

    __test__ = False
