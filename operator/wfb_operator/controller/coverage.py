"""Which pods a budget is for, and which of them spend without being counted."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches

from wfb_core.budget import Budget
from wfb_core.selectors import within
from wfb_operator.controller.conditions import COVERED, FALSE, TRUE, UNKNOWN, Condition
from wfb_operator.controller.world import PodSeen, World

NAMES_MOST = 3
"""Pods named in a message; the rest are counted."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """The pods of one budget; names are ``namespace/name``."""

    matched: int = 0
    uncovered: tuple[str, ...] = ()
    host_network: tuple[str, ...] = ()
    """Of the uncovered those that can have no sidecar: the node's own network is not theirs to redirect."""
    outdated: tuple[str, ...] = ()
    shared: tuple[str, ...] = ()
    """Other budgets that a pod of this one is within too: a call needs room in all of them."""
    hint: str = ""
    """Where nothing matched: a label that almost does."""

    def figures(self) -> dict[str, int]:
        """As ``status.pods`` has it."""
        covered = self.matched - len(self.uncovered)
        return {"matched": self.matched, "covered": covered, "outdated": len(self.outdated)}

    def condition(self) -> Condition:
        """Whether every pod of the budget is counted."""
        if not self.matched:
            return Condition(COVERED, UNKNOWN, "NoPods", f"No running pod is within this budget. {self.hint}".strip())
        if self.uncovered:
            what = (
                f"{len(self.uncovered)} of {self.matched} pods run without the sidecar, so their calls are not counted"
            )
            if self.host_network and len(self.host_network) == len(self.uncovered):
                way = "they use the node's network, which is never redirected: take hostNetwork away"
            else:
                way = f"label them or their namespace aifinops.dev/inject=true and start them anew{self._host()}"
            return Condition(COVERED, FALSE, "Uncovered", f"{what} ({_few(self.uncovered)}): {way}.")
        if self.outdated:
            what = f"{len(self.outdated)} of {self.matched} pods run an older sidecar ({_few(self.outdated)})"
            return Condition(
                COVERED, FALSE, "Outdated", f"{what}: start them anew, such as by kubectl rollout restart."
            )
        return Condition(COVERED, TRUE, "AllCovered", f"All {self.matched} pods have the sidecar.")

    def _host(self) -> str:
        return f"; {len(self.host_network)} use the node's network and cannot have it" if self.host_network else ""


def survey(budgets: Mapping[str, Budget], world: World, version: str) -> dict[str, Coverage]:
    """The pods of every budget, in one pass over the pods; ``version`` is the sidecar's that new pods get."""
    found: dict[str, _Found] = {key: _Found() for key in budgets}
    by_label, others = _index(budgets)
    labels_seen: dict[str, dict[str, str]] = {}
    for name, pod in world.pods.items():
        if pod.ended:
            continue
        labels = labels_seen[name] = dict(world.labels_of(pod))
        candidates = [key for pair in labels.items() for key in by_label.get(pair, ())] + others
        mine = [
            key
            for key in candidates
            if within(budgets[key], labels, pod.namespace, world.namespace_labels(pod.namespace))
        ]
        for key in mine:
            found[key].add(name, pod, version)
            found[key].shared.update(mine)
    return {
        key: Coverage(
            f.matched,
            tuple(sorted(f.uncovered)),
            tuple(sorted(f.host_network)),
            tuple(sorted(f.outdated)),
            tuple(sorted(f.shared - {key})),
            "" if f.matched else near_miss(budgets[key], world, labels_seen),
        )
        for key, f in found.items()
    }


@dataclass(slots=True)
class _Found:
    """What a pass over the pods finds for one budget."""

    matched: int = 0
    uncovered: list[str] = field(default_factory=list)
    host_network: list[str] = field(default_factory=list)
    outdated: list[str] = field(default_factory=list)
    shared: set[str] = field(default_factory=set)

    def add(self, name: str, pod: PodSeen, version: str) -> None:
        """One pod of the budget."""
        self.matched += 1
        if not pod.version:
            self.uncovered.append(name)
            if pod.host_network:
                self.host_network.append(name)
        elif pod.version != version:
            self.outdated.append(name)


def _index(budgets: Mapping[str, Budget]) -> tuple[dict[tuple[str, str], list[str]], list[str]]:
    """Budgets by one label that their pods must have, and those that name none."""
    by_label: dict[tuple[str, str], list[str]] = {}
    others = []
    for key, budget in budgets.items():
        pair = next(iter(sorted(budget.match_labels.items())), None)
        if pair is None:
            others.append(key)
        else:
            by_label.setdefault(pair, []).append(key)
    return by_label, others


def near_miss(budget: Budget, world: World, labels_seen: Mapping[str, Mapping[str, str]]) -> str:
    """A sentence on the label that comes nearest to what the budget selects; ``labels_seen`` are those of pods by key."""
    for name, wanted in sorted(budget.match_labels.items()):
        values: dict[str, str] = {}
        for key, labels in labels_seen.items():
            if budget.namespace not in ("", world.pods[key].namespace):
                continue
            own = world.pods[key].labels
            if name not in own and (typo := get_close_matches(name, own, 1, 0.85)):
                return f"Pod {key} has the label {typo[0]}, the budget selects {name}={wanted}: one may be misspelt."
            if value := labels.get(name):
                values.setdefault(value, key)
        if wanted in values:
            continue
        if near := get_close_matches(wanted, values, 1, 0.7):
            return (
                f"Pod {values[near[0]]} has {name}={near[0]}, the budget selects {name}={wanted}: one may be misspelt."
            )
        return f"No pod has {name}={wanted}: label the pod template, not the Deployment."
    return ""


def _few(names: Iterable[str]) -> str:
    found = list(names)
    more = len(found) - NAMES_MOST
    return ", ".join(found[:NAMES_MOST]) + (f" and {more} more" if more > 0 else "")
