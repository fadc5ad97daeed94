"""The page's files as they are answered: by the ledger in a cluster, and by the local server of ``wfb ui``."""

import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files as resources

NAMES = ("index.html", "page.css", "page.js", "icon.svg")

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none';"
    " form-action 'none'; frame-ancestors 'none'"
)
"""Nothing from outside, and nothing inline: a label that looks like a script stays a label (CSP level 3)."""


@dataclass(frozen=True, slots=True)
class File:
    """A file and the headers to answer it with."""

    body: bytes
    headers: Mapping[str, str]


@cache
def file(name: str) -> File | None:
    """One of NAMES; None for anything else."""
    if name not in NAMES:
        return None
    body = (resources("wfb_operator.page") / "static" / name).read_bytes()
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    headers = {
        "content-type": f"{kind}; charset=utf-8",
        "content-security-policy": POLICY,
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cache-control": "no-cache",
    }
    return File(body, headers)
