"""The one error that reaches a user: a sentence with what was found, what was expected and what to do."""


class SharkpackError(Exception):
    """Bad input or an environment that cannot serve it; the message is one line that a user can act on."""
