"""cohere: chat of its second API."""

from asking import serve
from functools import partial

import cohere


def make(argument):
    """A call, as the SDK comes."""
    return partial(call, cohere.ClientV2())


def call(client, case):
    """One call; a stream does not say which model answers."""
    asked = {"model": case["model"], "messages": [{"role": "user", "content": case["prompt"]}]}
    if not case["stream"]:
        answer = client.chat(**asked)
        return {"finish": answer.finish_reason, "model": case["model"], "text": answer.message.content[0].text}
    events = list(client.chat_stream(**asked))
    return {
        "finish": events[-1].delta.finish_reason,
        "model": case["model"],
        "text": "".join(e.delta.message.content.text for e in events if e.type == "content-delta"),
    }


serve(make)
