"""Books that are read resource by resource, as the aggregated API names them, wherever they are kept."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from wfb_operator.showback.books import PAGE, Reading, Row


class ResourceBooks(ABC):
    """The port ``showback.books.Books`` over one way to read a resource."""

    @abstractmethod
    def get(self, resource: str, query: Mapping[str, str]) -> dict[str, Any]:
        """One resource; raises LedgerError."""

    def usage(
        self, by: Sequence[str], since: int, until: int, *, only: Mapping[str, str], skip: int = 0, most: int = PAGE
    ) -> Reading:
        """Sums of usage by some dimensions in [since, until), dearest first; ``only`` keeps rows that have these values."""
        numbers = {"since": since, "until": until, "skip": skip, "limit": most}
        query = {**only, "by": ",".join(by), **{name: str(value) for name, value in numbers.items()}}
        answer = self.get("usage", query)
        return Reading(answer["usage"], answer["since"], answer["until"])

    def summary(self, since: int) -> Row:
        """Every budget's windows now, with usage since a time."""
        return self.get("summaries", {"since": str(since)})

    def decisions(self, kind: str, most: int) -> list[Row]:
        """The newest decisions, of a kind where it is not empty."""
        return list(self.get("decisions", {"kind": kind, "limit": str(most)})["decisions"])

    def runs(self, most: int) -> list[Row]:
        """The runs seen last."""
        return list(self.get("runs", {"limit": str(most)})["runs"])

    def stages(self, most: int) -> list[Row]:
        """The newest changes of stage."""
        return list(self.get("stages", {"limit": str(most)})["stages"])
