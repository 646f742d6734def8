"""The error of a command line that is wrong."""


class UsageError(Exception):
    """What was given to a command is wrong."""
