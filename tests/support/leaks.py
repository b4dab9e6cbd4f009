"""What this run of the tests looks for in everything that the product wrote."""

from typing import Final

from devstack.leaks import Watched

WATCHED: Final = Watched()
"""Filled by what is sent and printed, and looked for at the end (`tests.conftest`)."""
