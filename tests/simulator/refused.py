"""A request the provider refuses; each dialect gives it its own shape."""


class Refused(Exception):  # noqa: N818 - it is an answer, not a failure of ours
    """An error answer: HTTP status, message, and what OpenAI's shape adds."""

    def __init__(self, status: int, message: str, *, code: str | None = None, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.param = param


def whole_number(body: dict[str, object], name: str, least: int) -> int | None:
    """A count in the request's body, None where it is absent; refuses anything else with 400."""
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise Refused(400, f"Invalid '{name}': expected an integer of at least {least}, got {value!r}.", param=name)
    return value
