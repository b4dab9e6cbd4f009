"""What is wrong with an address that we are to listen on."""

from recharge.problem import Problem


class HttpProblem(Problem):
    """An address for metrics and health cannot be used. Its text is one line that names the setting."""
