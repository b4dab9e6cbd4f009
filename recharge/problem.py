"""The bases of what ends a command in one line. They import nothing, so the command line knows them without loading any part."""


class Problem(Exception):
    """What is wrong outside this process. Its text is one line that says what, where and what to do."""


class WrongSettings(Exception):
    """Settings with which nothing was begun. The text is for people: it names each setting, and never a value."""
