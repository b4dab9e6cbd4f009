"""The base of everything that ends the intake."""

from recharge.problem import Problem


class IntakeProblem(Problem):
    """The intake cannot do its work. Its text is one line that says what is wrong, where, and what to do."""
