"""What a doctor looks at: objects of the API as the user may read them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

type Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Seen:
    """Objects by kind; a kind that could not be read is in ``unread`` with the reason, and its list is empty."""

    namespaces: Sequence[Object] = ()
    pods: Sequence[Object] = ()
    workloads: Sequence[Object] = ()
    """Deployments, StatefulSets, DaemonSets, Jobs and CronJobs; each has its ``kind``."""
    budgets: Sequence[Object] = ()
    webhook: Object | None = None
    unread: Mapping[str, str] = field(default_factory=dict)

    @property
    def namespace_labels(self) -> dict[str, Mapping[str, str]]:
        """Labels of namespaces by name."""
        return {n["metadata"]["name"]: n["metadata"].get("labels") or {} for n in self.namespaces}


def name_of(found: Object, kind: str = "") -> str:
    """``kind namespace/name`` of an object."""
    metadata = found["metadata"]
    namespace = metadata.get("namespace")
    name = f"{namespace}/{metadata['name']}" if namespace else metadata["name"]
    return f"{(kind or found.get('kind', 'object')).lower()} {name}"
