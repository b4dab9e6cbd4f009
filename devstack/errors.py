"""The errors of the local stack, each a sentence for the person who started it."""


class DevstackError(Exception):
    """Something of the local stack cannot be had, started or kept running; the message says what to do."""


class WaitTimeoutError(DevstackError, TimeoutError):
    """A condition did not come true within its limit."""


class ProcessEndedError(DevstackError):
    """A process ended while something was expected of it."""
