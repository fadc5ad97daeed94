"""LiteLLM over one provider: one function, and its own exceptions whatever the provider says."""

from asking import serve
from functools import partial

import litellm


def make(argument):
    """A call of one provider."""
    return partial(call, argument)


def call(prefix, case):
    """One call."""
    asked = {"model": f"{prefix}/{case['model']}", "messages": [{"role": "user", "content": case["prompt"]}]}
    if not case["stream"]:
        answer = litellm.completion(**asked)
        choice = answer.choices[0]
        return {"finish": choice.finish_reason, "model": answer.model, "text": choice.message.content}
    chunks = list(litellm.completion(**asked, stream=True))
    return {
        "finish": next(c.choices[0].finish_reason for c in reversed(chunks) if c.choices[0].finish_reason),
        "model": chunks[0].model,
        "text": "".join(c.choices[0].delta.content or "" for c in chunks),
    }


serve(make)
