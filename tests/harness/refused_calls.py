"""Which calls are refused, or would have been, where each is settled before the next."""


def refused_calls(bench, send, calls):
    """The numbers of those calls; ``send`` makes one of them and returns its status."""
    refused, known = [], len(bench.decisions())
    for number, call in enumerate(calls):
        status = send(*call)
        bench.settled()
        decisions = bench.decisions()
        new = decisions[: len(decisions) - known]
        if any(d["kind"] == "refusal" or d["message"].startswith("would be refused") for d in new):
            refused.append(number)
        assert status in (200, 402), decisions[:3]
        known = len(decisions)
    return refused
