"""Why there is no cluster here."""


class NotHereError(RuntimeError):
    """This machine cannot have what was asked for; the message says what is missing and the way out."""


class NotReadyError(RuntimeError):
    """A part ended, or did not answer in time; the message holds the end of its log."""
