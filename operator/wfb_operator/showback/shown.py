"""Names that callers gave, made safe to show: a label may hold anything."""

LONGEST = 120
"""Characters of a name that are shown; what is longer is cut, with a sign that it was."""

NAMELESS = "(none)"
"""What stands for an empty name."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What makes a spreadsheet take a cell for a formula (OWASP, CSV Injection); full-width forms are taken for it, too."""


def plain(text: object, longest: int = LONGEST) -> str:
    """One line without control, direction and format characters, each replaced by a mark, and not too long."""
    whole = str(text)
    part = whole[:longest]
    shown = "".join(c if c.isprintable() else "\ufffd" for c in part)
    return shown if len(whole) <= longest else f"{shown}…"


def named(text: object, longest: int = LONGEST) -> str:
    """As ``plain``, and a word where there is no name."""
    return plain(text, longest) if text not in ("", None) else NAMELESS


def cell(text: str) -> str:
    """A name as a cell of CSV that no spreadsheet takes for a formula: with an apostrophe before it where it would.

    The rest is left as it is, newlines and all: the CSV writer quotes it.
    """
    shown = text.replace("\0", "\ufffd")
    return (
        f"'{shown}" if shown.lstrip(" ").startswith(_FORMULA) or shown.startswith(("'=", "'+", "'-", "'@")) else shown
    )
