"""What is asked about: a decision, a pod or a workflow."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

DECISION, POD, WORKFLOW = "decision", "pod", "workflow"

_DECISION = re.compile(r"d-[0-9a-f]{12}")


class SubjectError(ValueError):
    """What was given names nothing that can be explained; the message says what to write."""


@dataclass(frozen=True, slots=True)
class Subject:
    """One of them, by its name."""

    kind: str
    name: str
    namespace: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    """By their full keys, where they are known."""
    namespace_labels: Mapping[str, str] = field(default_factory=dict)
    uid: str = ""
    """A pod's own, by which its decisions are known; a name comes again with another pod."""

    def made(self, decision: Mapping[str, Any]) -> bool:
        """Whether a decision was about a call of it."""
        if self.kind == POD:
            return bool(self.uid) and str(decision["holder"]).startswith(f"{self.uid}/")
        return bool(decision["workflow"] == self.name)


def read_subject(text: str) -> tuple[str, str]:
    """(kind, name) of ``d-0123456789ab``, ``pod/NAME``, ``workflow/NAME`` or ``NAME``; raises SubjectError."""
    if _DECISION.fullmatch(text):
        return DECISION, text
    kind, slash, name = text.partition("/")
    if not slash:
        kind, name = (DECISION if text.startswith("d-") and len(text) == 14 else WORKFLOW), text
    kind = {"po": POD, "pods": POD, "wf": WORKFLOW, "workflows": WORKFLOW}.get(kind, kind)
    if kind == DECISION:
        raise SubjectError(
            f"{text[:80]!r} is not a decision's id: it reads d- and twelve of 0-9 and a-f, as refusals say it"
        )
    if kind not in (POD, WORKFLOW) or not name:
        raise SubjectError(
            f"{text[:80]!r} cannot be explained: give a decision such as d-394038b1f3a7, pod/NAME, or a workflow's name"
        )
    return kind, name
