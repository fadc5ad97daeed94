"""The OpenAI SDK, any generation: chat and responses."""

from asking import serve
from functools import partial

import openai


def make(argument):
    """A call of one dialect."""
    return partial({"chat": chat, "responses": responses}[argument], openai.OpenAI())


def chat(client, case):
    """Chat completions."""
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


def responses(client, case):
    """Responses, whose end is a status and a reason."""
    asked = {"model": case["model"], "input": case["prompt"]}
    if case["stream"]:
        answer = list(client.responses.create(**asked, stream=True))[-1].response
    else:
        answer = client.responses.create(**asked)
    cut = answer.incomplete_details
    return {"finish": cut.reason if cut else answer.status, "model": answer.model, "text": answer.output_text}


serve(make)
