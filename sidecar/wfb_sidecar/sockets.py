"""The life of a metered WebSocket: money is held for one response at a time, and a socket without money is closed."""

from wfb_core.dialects import Answer
from wfb_core.dialects.socket import SocketMeter
from wfb_core.settle import COMPLETE, CUT
from wfb_sidecar.books import Refused
from wfb_sidecar.call import Call
from wfb_sidecar.calls import Calls


class Told:
    """A reader for an answer that is already known."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    def feed(self, chunk: bytes) -> bytes:
        """The chunk, unchanged."""
        return chunk

    def end(self) -> Answer:
        """The answer."""
        return self._answer

    def finish_early(self) -> bytes | None:
        """None: a socket is closed instead."""
        return None


class Socket:
    """One socket, from its upgrade to its end."""

    def __init__(self, calls: Calls, meter: SocketMeter, provider: str, run: str = "") -> None:
        self._calls = calls
        self._run = run
        self._meter = meter
        self._provider = provider
        self._call: Call | None = None
        self._ended = False

    async def opening(self) -> Refused | None:
        """Holds money for the first response where the upgrade names the model; else with the first message that does."""
        return await self._hold()

    async def sent(self, message: bytes) -> Refused | None:
        """A message of the client; the refusal where no money can be held for what it asks."""
        self._meter.sent(message)
        return await self._hold()

    def received(self, message: bytes) -> None:
        """A message of the server: settles each response whose usage it completes."""
        for answer in self._meter.received(message):
            call, self._call = self._call, None
            facts = self._meter.facts()
            if call is None and facts is not None:
                call = self._calls.admission.unasked(
                    self._provider, facts
                )  # billed though nobody asked: transcripts of the input
            if call is not None:
                call.reader, call.forwarded = Told(answer), True
                self._calls.settling.finish(call, COMPLETE)

    def end(self) -> None:
        """The socket is closed: what was under way is settled, what was only held is given back."""
        if self._ended:
            return
        self._ended = True
        call, self._call = self._call, None
        if call is None:
            return
        answer = self._meter.end()
        if answer is None:
            self._calls.settling.give_back(call)
        else:
            call.reader, call.forwarded = Told(answer), True
            self._calls.settling.finish(call, CUT)

    async def _hold(self) -> Refused | None:
        facts = self._meter.facts()
        if self._call is not None or facts is None:
            return None
        outcome = await self._calls.admission.admit_response(self._provider, facts, self._run)
        if isinstance(outcome, Refused):
            return outcome
        self._call = outcome
        return None
