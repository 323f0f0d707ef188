"""The one exception that means: the person at the keyboard can fix this."""


class UserError(Exception):
    """A one-line message: what was wrong with its value, where, and what to do."""
