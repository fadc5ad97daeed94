"""Selectors: the labels and names by which a budget knows its pods, and the patterns by which it knows models."""

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import lru_cache

from wfb_core.budget import Budget, LabelRule
from wfb_core.fields import shown

LABEL_PREFIX = "aifinops.dev/"

SHORT_LABELS = ("workflow", "team", "feature", "run")
"""The labels by which a pod says who it is; written short they stand for ``aifinops.dev/<name>``."""

NAMESPACE_NAME = "kubernetes.io/metadata.name"
"""The label that the API server sets on every namespace (Kubernetes, Well-Known Labels, Annotations and Taints)."""

REMEMBERED_LONGEST = 200
"""Characters of a model's name above which it is not kept: what a request names may be of any length."""

# Kubernetes, "Labels and Selectors", syntax and character set.
_LABEL_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?")
_DNS_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_DNS_SUBDOMAIN = re.compile(r"(?=.{1,253}\Z)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")


def label_key(name: str) -> str:
    """The full key of a pod's label: ``workflow`` is ``aifinops.dev/workflow``; every other key stands for itself.

    Raises ValueError for a key that Kubernetes would not take.
    """
    return literal_key(LABEL_PREFIX + name if name in SHORT_LABELS else name)


def literal_key(key: str) -> str:
    """The key of a label that stands for itself, such as a namespace's; raises ValueError as ``label_key``."""
    prefix, slash, rest = key.rpartition("/")
    if not _LABEL_NAME.fullmatch(rest) or (slash and not _DNS_SUBDOMAIN.fullmatch(prefix)):
        raise ValueError(
            f"{shown(key)} is not a label's key: use letters, digits, '-', '_' and '.', at most 63, between a letter"
            " or digit at both ends, after a DNS prefix and '/' where it has one, such as aifinops.dev/workflow"
        )
    return key


def label_value(value: object) -> str:
    """A label's value, checked; raises ValueError for one that Kubernetes would not take."""
    if not isinstance(value, str):
        raise ValueError(f'{shown(value)} is not text: write the label\'s value in quotes, such as "{value}"')
    if not _LABEL_VALUE.fullmatch(value):
        raise ValueError(
            f"{shown(value)} is not a label's value: use letters, digits, '-', '_' and '.', at most 63, with a letter or"
            " digit at both ends"
        )
    return value


def object_name(value: object) -> str:
    """The name of an object, checked; raises ValueError for one that Kubernetes would not take."""
    if not isinstance(value, str) or not _DNS_SUBDOMAIN.fullmatch(value):
        raise ValueError(
            f"{shown(value)} is not an object's name: use small letters, digits, '-' and '.', at most 253, with a letter"
            " or digit at both ends of every part, such as invoice-triage"
        )
    return value


def namespace_name(value: object) -> str:
    """The name of a namespace, checked; raises ValueError for one that Kubernetes would not take."""
    if not isinstance(value, str) or not _DNS_LABEL.fullmatch(value):
        raise ValueError(
            f"{shown(value)} is not a namespace's name: use small letters, digits and '-', at most 63, with a letter or"
            " digit at both ends, such as billing"
        )
    return value


def within(budget: Budget, labels: Mapping[str, str], namespace: str, namespace_labels: Mapping[str, str]) -> bool:
    """Whether a budget is for a pod: by the pod's labels, its namespace's name and that namespace's labels.

    A process outside Kubernetes has the namespace ``""``, and only its labels are asked for.
    """
    if not namespace:
        return budget.matches(labels)
    named = {**namespace_labels, NAMESPACE_NAME: namespace}
    return budget.namespace in ("", namespace) and budget.matches(labels, named)


def mismatch(budget: Budget, labels: Mapping[str, str], namespace: str, namespace_labels: Mapping[str, str]) -> str:
    """Why a budget is not for a pod, in words; empty where it is (``within``)."""
    if namespace and budget.namespace not in ("", namespace):
        return f"it is for namespace {budget.namespace}, and this is {namespace}"
    asked: list[tuple[str, Mapping[str, str], tuple[LabelRule, ...], Mapping[str, str]]] = [
        ("", budget.match_labels, budget.match_rules, labels)
    ]
    if namespace:
        named = {**namespace_labels, NAMESPACE_NAME: namespace}
        of_namespace = budget.namespace_selector
        asked.append(("the namespace's ", of_namespace.labels, of_namespace.rules, named))
    for whose, wanted, rules, given in asked:
        for key, value in wanted.items():
            if given.get(key) != value:
                has = f"is {given[key]}" if key in given else "is missing"
                return f"it asks for {whose}{key}={value}, which {has}"
        for rule in rules:
            if not rule.holds(given):
                values = f" {', '.join(rule.values)}" if rule.values else ""
                has = f"is {given[rule.key]}" if rule.key in given else "is missing"
                return f"it asks for {whose}{rule.key} {rule.operator}{values}, which {has}"
    return ""


def model_allowed(budget: Budget, model: str) -> bool:
    """Whether a budget's lists let a model through: no denied pattern fits, and an allowed one does where any is given.

    Patterns are globs (``gpt-*``), and case counts, as it does in the providers' own names.
    """
    lists = budget.models_denied, budget.models_allowed
    return _known_allowed(*lists, model) if len(model) <= REMEMBERED_LONGEST else _allowed(*lists, model)


def _allowed(denied: tuple[str, ...], allowed: tuple[str, ...], model: str) -> bool:
    if any(matches_model(model, pattern) for pattern in denied):
        return False
    return not allowed or any(matches_model(model, pattern) for pattern in allowed)


_known_allowed = lru_cache(1024)(_allowed)
"""Every call is held against the same lists as the one before."""


def matches_model(model: str, pattern: str) -> bool:
    """Whether a pattern means a model."""
    return _known_match(model, pattern) if len(model) <= REMEMBERED_LONGEST else fnmatchcase(model, pattern)


_known_match = lru_cache(1024)(fnmatchcase)
