"""Values of metric labels: text that somebody else chose, made short, plain and few."""

import unicodedata
from collections import defaultdict

OTHER = "other"
"""The value that stands for all that came after a label had as many as it may have."""

LONGEST = 128
"""Characters of a value; Kubernetes' own label values have 63 at most, providers' names of models stay below this."""


def plain(text: str) -> str:
    """A value that is shown as one short line everywhere: no control, no direction marks, no half characters.

    Quotes, backslashes and angle brackets stay: the exposition format escapes the first two, and whoever shows the
    third escapes it for its own page.
    """
    cut = text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
    if cut.isascii() and cut.isprintable():
        return cut
    # Categories C: control, format (direction marks are among them), surrogate, private; Zl and Zp end lines.
    return "".join("\ufffd" if unicodedata.category(c)[0] == "C" or c in "\u2028\u2029" else c for c in cut)


class Bounds:
    """Which values each label has taken; past a label's number all others count as OTHER."""

    def __init__(self, most: dict[str, int], default: int = 200) -> None:
        """``most`` values by label, and of every label that is not named."""
        self._most, self._default = most, default
        self._known: dict[str, dict[str, str]] = defaultdict(dict)

    def value(self, label: str, text: str, *, new: bool = True) -> str:
        """The value that stands for a text; ``new`` is False for a text that must not take a place of its own.

        An empty text stays empty, which Prometheus takes for no label.
        """
        known = self._known[label]
        # What was seen is found by the text as it came; a text too long to keep is cut first.
        found = known.get(text)
        if found is not None or not text:
            return found or ""
        shown = plain(text)
        if shown in known:
            return known[shown]
        if not new or len(known) >= self._most.get(label, self._default):
            return OTHER
        known[shown] = shown
        return shown
