"""Errors in OpenAI's shape, and in those of the providers that changed it."""

import json

from simulator.refused import Refused

_KINDS = {
    400: ("invalid_request_error", None),
    401: ("invalid_request_error", "invalid_api_key"),
    404: ("invalid_request_error", None),
    429: ("requests", "rate_limit_exceeded"),
    500: ("server_error", None),
    503: ("server_error", "service_unavailable"),
    529: ("server_error", "overloaded"),
}


def error(_shape: object, refused: Refused, request_id: str) -> bytes:
    """The body of an error answer; OpenAI tells the request id in a header only."""
    kind, code = _KINDS.get(refused.status, ("invalid_request_error", None))
    said = {"message": refused.message, "type": kind, "param": refused.param, "code": refused.code or code}
    return json.dumps({"error": said}).encode()


def no_such_model(name: object) -> Refused:
    """What OpenAI says of a model it does not have."""
    return Refused(
        404, f"The model `{name}` does not exist or you do not have access to it.", code="model_not_found", param=None
    )


def too_long(_shape: object, tokens: int, most: int) -> Refused:
    """What OpenAI says of input beyond the context window."""
    return Refused(
        400,
        f"This model's maximum context length is {most} tokens. However, your messages resulted in {tokens} tokens.",
        code="context_length_exceeded",
        param="messages",
    )
