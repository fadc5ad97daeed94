"""What the chart decides for every pod: image, mode, resources, where the ledger is and what it is trusted by."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from wfb_operator.injector.names import MODES, TRANSPARENT


class SettingsError(ValueError):
    """The settings cannot be used; one line that names the field and the way out."""


def _resources() -> Mapping[str, Mapping[str, str]]:
    return {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}}


@dataclass(frozen=True, slots=True)
class Settings:
    """Of one installation."""

    image: str
    version: str
    ledger_url: str
    ledger_ca: str = ""
    """PEM; empty where the ledger's certificate is signed by a public root."""
    mode: str = TRANSPARENT
    image_pull_policy: str = "IfNotPresent"
    install_namespace: str = "wfb-system"
    extra_ca_configmap: str = ""
    resources: Mapping[str, Mapping[str, str]] = field(default_factory=_resources)
    no_proxy: tuple[str, ...] = ("localhost", "127.0.0.1", "::1", ".svc", ".cluster.local", "kubernetes.default")
    """What never goes through the sidecar in mode proxy-env."""


_FIELDS = {
    "image": "image",
    "version": "version",
    "mode": "mode",
    "imagePullPolicy": "image_pull_policy",
    "ledgerURL": "ledger_url",
    "installNamespace": "install_namespace",
    "extraCAConfigMap": "extra_ca_configmap",
}


def read_settings(path: str) -> Settings:
    """Settings from a YAML file; the ledger's roots are read from the file that ``ledgerCAFile`` names.

    Raises SettingsError.
    """
    try:
        with open(path, encoding="utf-8") as file:
            document = yaml.safe_load(file)
    except (OSError, yaml.YAMLError) as error:
        raise SettingsError(f"{path}: {error}") from error
    return parse_settings(document, path)


def parse_settings(document: Any, where: str = "settings") -> Settings:
    """Checks a parsed document; raises SettingsError."""
    if not isinstance(document, dict):
        raise SettingsError(f"{where}: a mapping is expected")
    known = {*_FIELDS, "ledgerCAFile", "resources", "noProxy", "hosts"}
    for name in document:
        if name not in known:
            raise SettingsError(f"{where}: unknown field {name!r}; known here: {', '.join(sorted(known))}")
    values: dict[str, Any] = {}
    for name, ours in _FIELDS.items():
        if name in document:
            if not isinstance(document[name], str):
                raise SettingsError(f"{where}: {name}: {document[name]!r} is not text")
            values[ours] = document[name]
    for name in ("image", "version", "ledgerURL"):
        if not document.get(name):
            raise SettingsError(f"{where}: {name} is missing")
    if values.get("mode", TRANSPARENT) not in MODES:
        raise SettingsError(f"{where}: mode: {values['mode']!r} is none of {', '.join(MODES)}")
    if path := document.get("ledgerCAFile"):
        try:
            with open(path, encoding="ascii") as file:
                values["ledger_ca"] = file.read()
        except (OSError, ValueError) as error:
            raise SettingsError(f"{where}: ledgerCAFile: {error}") from error
    if document.get("resources"):
        values["resources"] = document["resources"]
    if document.get("noProxy"):
        values["no_proxy"] = tuple(document["noProxy"])
    return Settings(**values)
