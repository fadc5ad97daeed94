"""How often an SDK has tried a request before: what its headers say."""

import re
from collections.abc import Mapping

from wfb_core.dialects.request import header

_SAYS = {
    # openai-python and anthropic-python, _base_client.py: 0 for the first attempt.
    "x-stainless-retry-count": re.compile(r"\s*(\d{1,6})\s*"),
    # botocore and the AWS SDKs: attempt=2; max=3, from 1 on.
    "amz-sdk-request": re.compile(r".*\battempt=(\d{1,6})\b.*"),
}
_FROM_ONE = {"amz-sdk-request"}


def retry_count(headers: Mapping[str, str]) -> int:
    """The attempts before this one, as the request's headers tell; 0 where they tell nothing."""
    for name, says in _SAYS.items():
        value = header(headers, name)
        found = says.fullmatch(value) if value else None
        if found:
            return max(0, int(found.group(1)) - (name in _FROM_ONE))
    return 0
