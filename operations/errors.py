"""What a person asked for and does not get."""

from recharge.problem import Problem


class Refused(Problem):
    """Nothing was done. Its text is one line that says why, and what can be done instead."""
