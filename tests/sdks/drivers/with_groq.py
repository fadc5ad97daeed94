"""groq: chat."""

from asking import serve
from functools import partial

import groq


def make(argument):
    """A call, as the SDK comes."""
    return partial(call, groq.Groq())


def call(client, case):
    """One call."""
    asked = {"model": case["model"], "messages": [{"role": "user", "content": case["prompt"]}]}
    if not case["stream"]:
        answer = client.chat.completions.create(**asked)
        choice = answer.choices[0]
        return {"finish": choice.finish_reason, "model": answer.model, "text": choice.message.content}
    chunks = list(client.chat.completions.create(**asked, stream=True))
    return {
        "finish": next(c.choices[0].finish_reason for c in reversed(chunks) if c.choices),
        "model": chunks[0].model,
        "text": "".join(c.choices[0].delta.content or "" for c in chunks if c.choices),
    }


serve(make)
