"""What a person asked for and does not get."""


class Refused(Exception):
    """Nothing was done. Its text is one line that says why, and what can be done instead."""
