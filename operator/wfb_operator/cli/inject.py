"""``wfb inject``: what the injector would make of manifests, for a diff in GitOps or where no webhook may run."""

import argparse
import dataclasses
import difflib
import importlib.metadata
import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from wfb_operator.injector import names
from wfb_operator.injector.inject import apply_patch, inject
from wfb_operator.injector.reasons import DENIED, Report
from wfb_operator.injector.settings import Settings, SettingsError, read_settings

IMAGE = "ghcr.io/workflow-budget-operator/sidecar"
TEMPLATES = {
    "Deployment": ("spec", "template"),
    "StatefulSet": ("spec", "template"),
    "DaemonSet": ("spec", "template"),
    "ReplicaSet": ("spec", "template"),
    "Job": ("spec", "template"),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
}
"""Where each kind keeps the template of its pods."""


class _InputError(Exception):
    """What was given cannot be read; one line."""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds `inject` to the command line."""
    parser = subparsers.add_parser(
        "inject",
        help="what the injector would make of manifests",
        description="Reads pods and workloads, and prints them with the sidecar; warnings go to standard error.",
        epilog="exit code: 0, or 1 where a pod would be refused, or 2 for a file that cannot be read",
    )
    parser.add_argument("-f", "--filename", required=True, metavar="FILE", help="YAML or JSON; - is standard input")
    parser.add_argument("-o", "--output", choices=("yaml", "diff", "patch"), default="yaml", help="what to print")
    parser.add_argument("--namespace-file", metavar="FILE", help="the Namespace, whose labels and annotations count")
    parser.add_argument("--settings", metavar="FILE", help="as the injector reads them; defaults where it is left out")
    parser.add_argument("--mode", choices=names.MODES, help="instead of the settings' mode")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Prints what was asked for; see the epilog for the exit code."""
    try:
        settings = _settings(args)
        namespace = _namespace(args.namespace_file)
        documents = _documents(args.filename)
    except (_InputError, SettingsError) as error:
        sys.stderr.write(f"wfb: {error}\n")
        return 2
    refused, printed = False, []
    for document in documents:
        made, patches = _injected(document, namespace, settings)
        for name, report, _ in patches:
            refused = refused or report.outcome == DENIED
            for line in _told(name, report):
                sys.stderr.write(f"{line}\n")
        printed.append((document, made, patches))
    _print(printed, args.output)
    return int(refused)


def _settings(args: argparse.Namespace) -> Settings:
    if args.settings:
        found = read_settings(args.settings)
    else:
        version = importlib.metadata.version("workflow-budget-operator")
        found = Settings(f"{IMAGE}:{version}", version, "https://wfb-ledger.wfb-system.svc")
    if args.mode:
        found = dataclasses.replace(found, mode=args.mode)
    return found


def _namespace(path: str | None) -> Mapping[str, Any]:
    if path is None:
        return {"metadata": {"labels": {names.INJECT: "true"}}}
    found = _documents(path)
    if len(found) != 1 or found[0].get("kind") != "Namespace":
        raise _InputError(f"{path}: one Namespace is expected")
    return found[0]


def _documents(path: str) -> list[dict[str, Any]]:
    try:
        text = sys.stdin.read() if path == "-" else _read(path)
        found = [d for d in yaml.safe_load_all(text) if d is not None]
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise _InputError(f"{path}: {' '.join(str(error).split())}") from error
    flat: list[dict[str, Any]] = []
    for number, document in enumerate(found, 1):
        if not isinstance(document, dict) or not document.get("kind"):
            raise _InputError(f"{path}: document {number} is no object of Kubernetes: kind is missing")
        flat += (
            document["items"] if document["kind"] == "List" and isinstance(document.get("items"), list) else [document]
        )
    if not flat:
        raise _InputError(f"{path}: there is nothing in it")
    return flat


def _read(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()


def _injected(
    document: dict[str, Any], namespace: Mapping[str, Any], settings: Settings
) -> tuple[dict[str, Any], list[tuple[str, Report, list[dict[str, Any]]]]]:
    """The document with its pods injected, and for each pod its name, report and patch."""
    kind = document["kind"]
    name = f"{kind.lower()}/{document.get('metadata', {}).get('name', '')}"
    if kind == "Pod":
        patch, report = inject(document, namespace, settings)
        return apply_patch(document, patch), [(name, report, patch)]
    path = TEMPLATES.get(kind)
    if path is None:
        return document, []
    made = json.loads(json.dumps(document, default=str))
    parent, template = made, made
    for part in path:
        parent, template = template, template.get(part) if isinstance(template, dict) else None
    if not isinstance(template, dict) or not isinstance(template.get("spec"), dict):
        return document, []
    patch, report = inject(template, namespace, settings)
    parent[path[-1]] = apply_patch(template, patch)
    return made, [(name, report, patch)]


def _told(name: str, report: Report) -> Iterator[str]:
    if report.outcome != "injected":
        yield f"{name}: {report.outcome}: {report.sentence}"
    for warned in report.warnings:
        yield f"{name}: warning: {warned.message}"


def _print(printed: list[tuple[dict[str, Any], dict[str, Any], list[tuple[str, Report, Any]]]], output: str) -> None:
    if output == "patch":
        found = {name: patch for _, _, patches in printed for name, _, patch in patches}
        print(json.dumps(found, indent=2))
    elif output == "diff":
        for before, after, _ in printed:
            title = f"{before['kind']}/{before.get('metadata', {}).get('name', '')}"
            lines = difflib.unified_diff(
                _yaml(before).splitlines(), _yaml(after).splitlines(), title, f"{title} injected", lineterm=""
            )
            for line in lines:
                print(line)
    else:
        print("---\n".join(_yaml(after) for _, after, _ in printed), end="")


def _yaml(document: Mapping[str, Any]) -> str:
    return yaml.safe_dump(dict(document), sort_keys=False, width=120)
