"""Manifests of the simulator."""

from pathlib import Path

from canary.sim.manifests import LISTING_5_1

ROOT = Path(__file__).parents[2]


def test_listing_5_1_is_the_one_that_people_and_the_testbed_apply() -> None:
    """The text that simulations rest on, which is installed with the program, is that of the file."""
    assert (ROOT / "e2e/manifests/listing-5.1.yaml").read_text(encoding="utf-8") == LISTING_5_1
