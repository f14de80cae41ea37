"""The errors whose message is a sentence for the person who asked; everything else is a bug."""


class UserError(ValueError):
    """A request can't be met; the message says why and what to do next."""


class UsageError(UserError):
    """What was asked for makes no sense, so nothing was tried; the command line ends with status 2."""
