"""The Anthropic SDK, any generation: messages."""

from asking import serve
from functools import partial

import anthropic


def make(argument):
    """A call, as the SDK comes."""
    return partial(call, anthropic.Anthropic())


def call(client, case):
    """One call; a stream by the SDK's own collector."""
    asked = {
        "model": case["model"],
        "max_tokens": 5000,
        "messages": [{"role": "user", "content": case["prompt"]}],
    }
    if case["stream"]:
        with client.messages.stream(**asked) as stream:
            answer = stream.get_final_message()
    else:
        answer = client.messages.create(**asked)
    return {"finish": answer.stop_reason, "model": answer.model, "text": answer.content[0].text}


serve(make)
