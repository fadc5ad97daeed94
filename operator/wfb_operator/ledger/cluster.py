"""What the ledger asks of a cluster: whose a token is, and what is known of a pod."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from wfb_core.attribution import Owner


class ClusterAwayError(Exception):
    """The API server did not answer, or does not let the ledger ask."""


@dataclass(frozen=True, slots=True)
class Reviewed:
    """What a TokenReview said of a token that it knows."""

    username: str
    pod_name: str = ""
    pod_uid: str = ""


class Cluster(Protocol):
    """What is asked of a cluster."""

    def review(self, token: str, audience: str) -> Reviewed | None:
        """Whose a token for an audience is; None for one that counts for nobody. Raises ClusterAwayError."""

    def pod(self, namespace: str, name: str) -> Mapping[str, Any] | None:
        """A pod, or None where there is none. Raises ClusterAwayError."""

    def namespace(self, name: str) -> Mapping[str, Any] | None:
        """A namespace, or None where there is none. Raises ClusterAwayError."""

    def owners(self, pod: Mapping[str, Any]) -> list[Owner]:
        """The chain of controllers above a pod, the nearest first. Raises ClusterAwayError."""
