"""The variables by which programs are sent through the sidecar, and the proxy that was there before."""

from collections.abc import Mapping, Sequence
from typing import Any

from wfb_operator.injector.names import BASE_URL_PORT, PROXY_PORT
from wfb_operator.injector.reasons import KEPT_PROXY, Warned
from wfb_operator.injector.settings import Settings

PROXY = f"http://127.0.0.1:{PROXY_PORT}"
_HTTPS = ("HTTPS_PROXY", "https_proxy")
_NO = ("NO_PROXY", "no_proxy")

BASE_URLS = {
    "OPENAI_BASE_URL": f"http://127.0.0.1:{BASE_URL_PORT}/openai/v1",
    "ANTHROPIC_BASE_URL": f"http://127.0.0.1:{BASE_URL_PORT}/anthropic",
}
"""What the SDKs of OpenAI and Anthropic read (openai-python, openai-node, anthropic-sdk-python: ``_client``)."""


def through_proxy(environment: Sequence[Mapping[str, Any]], settings: Settings) -> list[dict[str, Any]]:
    """An environment in which HTTPS goes through the sidecar, and what is inside the cluster does not.

    NODE_USE_ENV_PROXY makes Node honour the variable, from 22.21 and 24 on (nodejs.org/api/cli.html).
    """
    found = [dict(entry) for entry in environment if entry["name"] not in (*_HTTPS, "NODE_USE_ENV_PROXY")]
    own = next((e.get("value", "") for e in found if e["name"] in _NO), "")
    names = [name.strip() for name in own.split(",") if name.strip()]
    together = ",".join(dict.fromkeys([*names, *settings.no_proxy]))
    found = [entry for entry in found if entry["name"] not in _NO]
    added = {**dict.fromkeys(_HTTPS, PROXY), **dict.fromkeys(_NO, together), "NODE_USE_ENV_PROXY": "1"}
    return found + [{"name": name, "value": value} for name, value in added.items()]


def upstream_proxy(containers: Sequence[Mapping[str, Any]]) -> tuple[str, list[Warned]]:
    """The proxy that the pod's containers used before: it becomes the sidecar's own. Empty where there was none."""
    found: dict[str, str] = {}
    warnings = []
    for container in containers:
        for entry in container.get("env") or ():
            if entry["name"] in _HTTPS and entry.get("value") != PROXY:
                if not entry.get("value"):
                    message = (
                        f"container {container.get('name')} takes {entry['name']} from elsewhere, which admission does"
                        " not see: the sidecar connects directly; write the proxy's address as a value"
                    )
                    warnings.append(Warned(KEPT_PROXY, message))
                else:
                    found.setdefault(entry["value"], container.get("name", ""))
    if len(found) > 1:
        message = f"the containers use different proxies ({', '.join(found)}): the sidecar leaves through the first"
        warnings.append(Warned(KEPT_PROXY, message))
    return next(iter(found), ""), warnings


def with_base_urls(environment: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """An environment in which SDKs call the sidecar by its own address; a base URL that is set stays."""
    found = [dict(entry) for entry in environment]
    names = {entry["name"] for entry in found}
    return found + [{"name": name, "value": value} for name, value in BASE_URLS.items() if name not in names]
