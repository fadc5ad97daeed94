"""What reports ask of whoever keeps the books: the ledger itself, or the cluster's API with the user's own rights."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

type Row = Mapping[str, Any]

PAGE = 10_000
"""Rows that one answer holds at most (``limit`` of ``/v1/usage``)."""


class Reading(NamedTuple):
    """Rows of usage, and the time in Unix seconds that they are exact for."""

    rows: list[Row]
    since: int
    until: int


class Books(Protocol):
    """Reads the books; amounts are decimal strings, times Unix seconds. Raises what its adapter raises."""

    def usage(
        self, by: Sequence[str], since: int, until: int, *, only: Mapping[str, str], skip: int = 0, most: int = PAGE
    ) -> Reading:
        """Sums of usage by some dimensions in [since, until), dearest first; ``only`` keeps rows that have these values."""

    def summary(self, since: int) -> Row:
        """Every budget's windows now, with usage since a time."""

    def decisions(self, kind: str, most: int) -> list[Row]:
        """The newest decisions, of a kind where it is not empty."""

    def runs(self, most: int) -> list[Row]:
        """The runs seen last."""

    def stages(self, most: int) -> list[Row]:
        """The newest changes of stage."""


@dataclass(frozen=True, slots=True)
class Question:
    """Which usage is asked for."""

    since: int
    until: int
    only: Mapping[str, str]

    def sums(self, books: Books, by: Sequence[str]) -> Reading:
        """The dearest rows by some dimensions, one answer's worth."""
        return books.usage(by, self.since, self.until, only=self.only)

    def every(self, books: Books, by: Sequence[str]) -> Iterator[Row]:
        """All rows by some dimensions, answer by answer."""
        skip = 0
        while True:
            rows = books.usage(by, self.since, self.until, only=self.only, skip=skip).rows
            yield from rows
            skip += len(rows)
            if len(rows) < PAGE:
                return

    def before(self) -> "Question":
        """The same for the time of equal length just before."""
        return Question(max(0, 2 * self.since - self.until), self.since, self.only)
