"""What ``wfb run`` was given, checked as a whole before anything is started."""

import argparse
import copy
import datetime
import os
import secrets
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from wfb_core.budget import EXISTS, IN, REPORT, Budget
from wfb_core.document import parse_budget
from wfb_core.host_table import HostTableError, load_hosts
from wfb_core.hosts import Hosts
from wfb_core.selectors import LABEL_PREFIX, SHORT_LABELS, label_key, label_value, namespace_name, within
from wfb_operator.cli.budget_file import LoadedBudget, load
from wfb_operator.cli.child import check_command
from wfb_operator.cli.environment import RUN_VARIABLE, upstream_proxy
from wfb_operator.cli.live import BudgetFiles
from wfb_operator.cli.state import State, default_root

EXAMPLE = "wfb run --budget budget.yaml --label workflow=triage -- python agent.py"


class UsageError(Exception):
    """What was given cannot be run; nothing has been started."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that was given, checked: what is left can fail only because the machine does."""

    command: tuple[str, ...]
    files: BudgetFiles
    labels: Mapping[str, str]
    run_id: str
    namespace: str
    mode: str
    state: State
    json_to: str | None
    upstream_ca: str | None
    upstream_proxy: str | None
    connect_to: Mapping[str, str]
    hosts: str | None
    """A table of hosts in addition to the known ones."""
    endpoints: tuple[tuple[str, str], ...]
    override_trust: bool
    secrets_dir: str | None
    notes: tuple[str, ...]

    def identity(self) -> dict[str, Any]:
        """Who the sidecar speaks for, but for its token and its holder's name."""
        return {"labels": dict(self.labels), "run": self.run_id, "namespace": self.namespace}


def make_plan(args: argparse.Namespace, env: Mapping[str, str]) -> Plan:
    """Checks everything that was given; raises UsageError, BudgetFileError or CommandError."""
    if other := env.get(RUN_VARIABLE):
        raise UsageError(
            f"this is already inside wfb run {other}, whose budgets count every call: run the command without wfb"
            f" (or unset {RUN_VARIABLE} if that is not so)"
        )
    namespace = _checked("--namespace", args.namespace, namespace_name) if args.namespace else ""
    paths = {os.path.realpath(path): path for path in reversed(args.budget)}
    files = BudgetFiles(tuple(reversed(paths.values())), lambda path: _loaded(path, namespace, args.report_only))
    loaded = files.read()
    no_doubles(loaded)
    labels, notes = _labels(args.label, [item.budget for item in loaded])
    run_id = (
        _checked("--run", args.run_id, _run_id) if args.run_id is not None else labels.get(LABEL_PREFIX + "run", "")
    )
    run_id = run_id or f"{datetime.datetime.now(datetime.UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
    labels[LABEL_PREFIX + "run"] = run_id
    fitting = [item for item in loaded if applies(item.budget, labels, namespace)]
    if not fitting:
        raise UsageError(_nothing_fits(loaded, labels, namespace))
    notes += [
        f"budget {item.budget.key} does not match this run and limits nothing in it"
        for item in loaded
        if item not in fitting
    ]
    if not args.command:
        raise UsageError(f"no command to run: put it after --, as in: {EXAMPLE}")
    check_command(args.command, env.get("PATH"))
    if args.json not in {None, "-"}:
        _check_writable("--json", args.json)
    if args.upstream_ca:
        _check_roots("--upstream-ca", args.upstream_ca)
    hosts = _hosts(args.hosts)
    try:
        proxy = upstream_proxy(env)
    except ValueError as error:
        raise UsageError(str(error)) from error
    return Plan(
        command=tuple(args.command),
        files=files,
        labels=labels,
        run_id=run_id,
        namespace=namespace,
        mode=args.mode,
        state=State(os.path.abspath(args.state or default_root(env))),
        json_to=args.json,
        upstream_ca=args.upstream_ca,
        upstream_proxy=proxy,
        connect_to=dict(_pair("--connect-to", given, target=True) for given in args.connect_to),
        hosts=os.path.abspath(args.hosts) if args.hosts else None,
        endpoints=tuple(_endpoint(hosts, given) for given in args.endpoint),
        override_trust=args.override_trust,
        secrets_dir=_secrets(args.secrets or env.get("WFB_SECRETS")),
        notes=tuple(notes),
    )


def applies(budget: Budget, labels: Mapping[str, str], namespace: str) -> bool:
    """Whether a budget is for a run: by its labels, and by its namespace where both have one."""
    return within(budget, labels, namespace, {})


def _loaded(path: str, namespace: str, report_only: bool) -> list[LoadedBudget]:
    """The budgets of a file, in our namespace where they name none, and only reporting where that was asked for."""
    found = []
    for item in load(path):
        document = copy.deepcopy(item.document)
        if namespace and item.budget.namespace and not document["metadata"].get("namespace"):
            document["metadata"]["namespace"] = namespace
        if report_only:
            document["spec"]["enforcement"] = REPORT
        found.append(replace(item, document=document, budget=parse_budget(document)))
    return found


def no_doubles(loaded: Sequence[LoadedBudget]) -> None:
    """Raises UsageError where two files hold budgets of one name."""
    seen: dict[str, LoadedBudget] = {}
    for item in loaded:
        other = seen.setdefault(item.budget.key, item)
        if other is not item:
            raise UsageError(
                f"budget {item.budget.key} is in {other.path}:{other.line} and in {item.path}:{item.line}:"
                " give each its own name"
            )


def _labels(given: Sequence[str], budgets: Sequence[Budget]) -> tuple[dict[str, str], list[str]]:
    """The labels of the run, by their full keys; without any given, those that all budgets agree to ask for."""
    labels: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name or not value:
            raise UsageError(f"--label {text!r} is not a label: write KEY=VALUE, such as --label workflow=triage")
        key = _checked("--label", name, label_key)
        value = _checked("--label", value, label_value)
        if labels.setdefault(key, value) != value:
            raise UsageError(f"--label {name} is given as {labels[key]!r} and as {value!r}: a run has one {name}")
    if given:
        return labels, []
    for budget in budgets:
        for key, value in budget.match_labels.items():
            if labels.setdefault(key, value) != value:
                return {}, []  # they contradict each other: which one the command belongs to must be said
    options = " ".join(_option(key, value) for key, value in labels.items())
    return labels, [f"no --label was given, so the budgets' own are used: {options}"] if labels else []


def _nothing_fits(loaded: Sequence[LoadedBudget], labels: Mapping[str, str], namespace: str) -> str:
    mine = ", ".join(f"{_short(key)}={value}" for key, value in labels.items() if key != LABEL_PREFIX + "run")
    lines = [f"no budget matches this run, which has {f'the labels {mine}' if mine else 'no labels'}:"]
    for item in loaded:
        budget = item.budget
        wanted = {key: value for key, value in budget.match_labels.items() if labels.get(key) != value}
        ways = [_option(key, value) for key, value in wanted.items()]
        broken = [rule for rule in budget.match_rules if not rule.holds(labels)]
        ways += [_option(rule.key, rule.values[0]) for rule in broken if rule.operator == IN]
        ways += [f"--label {_short(rule.key)}=…" for rule in broken if rule.operator == EXISTS]
        if namespace and budget.namespace not in {"", namespace}:
            ways.append(f"--namespace {budget.namespace}")
        selects = ", ".join(
            [f"{key}={value}" for key, value in budget.match_labels.items()]
            + [" ".join((rule.key, rule.operator, *rule.values)) for rule in budget.match_rules]
        )
        other = f"add {' '.join(ways)}" if ways else "take away the labels that it excludes, or the --namespace"
        lines.append(f"  budget {budget.key} ({item.path}:{item.line}) selects {selects or 'every pod'}: {other}")
    return "\n".join(lines)


def _option(key: str, value: str) -> str:
    return f"--label {shlex.quote(f'{_short(key)}={value}')}"


def _short(key: str) -> str:
    name = key.removeprefix(LABEL_PREFIX)
    return name if name in SHORT_LABELS else key


def _run_id(text: str) -> str:
    value = label_value(text)
    if not value:
        raise ValueError("is empty: give a name, such as nightly-2026-11-23")
    return value


def _checked(option: str, value: str, reader: Any) -> str:
    try:
        return str(reader(value))
    except ValueError as error:
        raise UsageError(f"{option}: {error}") from error


def _pair(option: str, given: str, *, target: bool) -> tuple[str, str]:
    """``HOST:PORT=SOMETHING``; with ``target`` the something is an address too."""
    left, equals, right = given.partition("=")
    example = "api.openai.com:443=127.0.0.1:9443" if target else "127.0.0.1:8000=openai"
    if not equals or not _is_address(left) or not (_is_address(right) if target else right):
        raise UsageError(f"{option} {given!r} is not understood: write {option} {example}")
    return left, right


def _is_address(text: str) -> bool:
    host, colon, port = text.rpartition(":")
    plain = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    known = colon and plain and "/" not in plain and (":" not in plain or plain != host)
    return bool(known) and port.isascii() and port.isdigit() and 0 < int(port) < 65536


def _hosts(path: str | None) -> Hosts:
    try:
        return load_hosts(path)
    except HostTableError as error:
        raise UsageError(f"--hosts {error}") from error


def _endpoint(hosts: Hosts, given: str) -> tuple[str, str]:
    endpoint, provider = _pair("--endpoint", given, target=False)
    try:
        hosts.with_endpoint(endpoint, provider)
    except ValueError as error:
        raise UsageError(f"--endpoint {given!r}: {error}") from error
    return endpoint, provider


def _secrets(path: str | None) -> str | None:
    if path and not os.path.isdir(path):
        raise UsageError(f"--secrets {path} is not a folder: give one with a file NAME/KEY for each key of a Secret")
    return os.path.abspath(path) if path else None


def _check_writable(option: str, path: str) -> None:
    folder = os.path.dirname(os.path.abspath(path))
    if os.path.isdir(path):
        raise UsageError(f"{option} {path} is a directory: give a file")
    if not os.path.isdir(folder):
        raise UsageError(f"{option} {path}: there is no folder {folder}: make it, or give another file")
    if not os.access(path if os.path.exists(path) else folder, os.W_OK):
        raise UsageError(f"{option} {path} cannot be written: check its permissions, or give another file")


def _check_roots(option: str, path: str) -> None:
    try:
        with open(path, "rb") as f:
            content = f.read()
    except OSError as error:
        raise UsageError(f"{option} {path} cannot be read: {error.strerror}") from error
    if b"-----BEGIN CERTIFICATE-----" not in content:
        raise UsageError(f"{option} {path} holds no certificate in PEM: give a file with -----BEGIN CERTIFICATE-----")
