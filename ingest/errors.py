"""The base of everything that ends the intake."""


class IntakeProblem(Exception):
    """The intake cannot do its work. Its text is one line that says what is wrong, where, and what to do."""
