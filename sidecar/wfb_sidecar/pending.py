"""Calls whose answer comes later: background responses and batches keep their hold until a poll brings the result."""

from wfb_core.dialects import PENDING_RESULT, Answer
from wfb_core.settle import COMPLETE
from wfb_sidecar.call import Call

MOST = 10_000
"""Calls that are kept waiting; beyond that the next is settled at its hold at once."""


class Pending:
    """By provider and the provider's id of the answer."""

    def __init__(self) -> None:
        self._calls: dict[tuple[str, str], Call] = {}

    def keeps(self, call: Call, answer: Answer, ending: str) -> bool:
        """Whether the answer only promises one: the call then waits here, unsettled."""
        later = answer.finding is not None and answer.finding.startswith(PENDING_RESULT)
        if not (later and ending == COMPLETE and answer.response_id) or len(self._calls) >= MOST:
            return False
        self._calls[call.provider, answer.response_id] = call
        return True

    def find(self, provider: str, answer_id: str) -> Call | None:
        """The call that a poll asks after; None where it was another pod's, or is settled."""
        return self._calls.get((provider, answer_id))

    def take(self, call: Call) -> None:
        """The result has come."""
        self._calls = {key: kept for key, kept in self._calls.items() if kept is not call}

    def take_all(self) -> list[Call]:
        """All of them, at shutdown."""
        calls, self._calls = list(self._calls.values()), {}
        return calls

    @staticmethod
    def is_result(answer: Answer) -> bool:
        """Whether a poll's answer is the end of what it asks after."""
        if answer.finding is not None and answer.finding.startswith(PENDING_RESULT):
            return False
        return answer.usage is not None or answer.failed or answer.finished
