"""Answers that come later: the call keeps its hold until a poll brings the result, which is settled once."""

POLL = "https://api.openai.com/v1/responses/{}"
BODY = {"model": "gpt-4o", "input": "hello there", "background": True, "max_output_tokens": 100}


def test_a_background_response_is_settled_by_its_first_result(make_bench, client):
    """While it is queued its hold stays; the poll with the usage settles it at the bill, and later polls change nothing."""
    bench = make_bench(outputBound="Clamp")
    http = client(bench.sidecar())
    asked = http.post("https://api.openai.com/v1/responses", json=BODY, headers={"x-sim-polls": "1"}).json()
    assert asked["status"] in {"queued", "in_progress"}
    waiting = http.get(POLL.format(asked["id"])).json()
    assert waiting["status"] != "completed"
    assert bench.books().calls() == 0
    done = http.get(POLL.format(asked["id"])).json()
    assert done["status"] == "completed"
    again = http.get(POLL.format(asked["id"])).json()
    assert again["usage"] == done["usage"]

    books = bench.settled(1)
    assert (books.calls(), books.reserved, books.estimated) == (1, 0, 0)
    assert books.spent == bench.bill() > 0
