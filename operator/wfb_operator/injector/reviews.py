"""AdmissionReview in and out (admission.k8s.io/v1), around the pure function."""

import base64
import json
from collections.abc import Mapping
from typing import Any

from wfb_operator.injector.inject import Patch
from wfb_operator.injector.reasons import DENIED, Report

API_VERSION = "admission.k8s.io/v1"
WARNINGS_MOST = 10
WARNING_LONGEST = 256
"""The API server cuts what is longer, and drops what is more (AdmissionResponse.warnings)."""


class ReviewError(ValueError):
    """The body is no AdmissionReview that can be answered."""


def read_review(body: bytes) -> tuple[str, str, Mapping[str, Any]]:
    """(uid, namespace, pod) of a review's request; raises ReviewError.

    The namespace is the request's: a pod that is made from a template has none of its own yet, and no name.
    """
    try:
        review = json.loads(body)
        request = review["request"]
        if review.get("apiVersion") != API_VERSION or request["kind"]["kind"] != "Pod":
            raise ReviewError(f"an AdmissionReview of {API_VERSION} for a Pod is expected")
        return str(request["uid"]), str(request.get("namespace", "")), request["object"]
    except (ValueError, KeyError, TypeError) as error:
        raise ReviewError(f"the body is no AdmissionReview: {type(error).__name__} {error}") from error


def answer(uid: str, patch: Patch, report: Report) -> dict[str, Any]:
    """The review's answer: allowed with a patch, or denied with the sentence."""
    response: dict[str, Any] = {"uid": uid, "allowed": report.outcome != DENIED}
    if report.outcome == DENIED:
        response["status"] = {"code": 403, "reason": "Forbidden", "message": f"wfb-injector: {report.sentence}"}
    elif patch:
        response["patchType"] = "JSONPatch"
        response["patch"] = base64.b64encode(json.dumps(patch, separators=(",", ":")).encode()).decode()
    if report.warnings:
        texts = [f"wfb: {warned.message}" for warned in report.warnings[:WARNINGS_MOST]]
        response["warnings"] = [
            text if len(text) <= WARNING_LONGEST else f"{text[: WARNING_LONGEST - 1]}…" for text in texts
        ]
    return {"apiVersion": API_VERSION, "kind": "AdmissionReview", "response": response}


def failed(uid: str, message: str) -> dict[str, Any]:
    """The answer where the injector itself failed: refused, since a pod that slips through spends uncounted."""
    status = {"code": 500, "reason": "InternalError", "message": f"wfb-injector: {message}"}
    response = {"uid": uid, "allowed": False, "status": status}
    return {"apiVersion": API_VERSION, "kind": "AdmissionReview", "response": response}
