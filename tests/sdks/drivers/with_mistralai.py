"""mistralai: chat, as it comes, which is without retries."""

from asking import serve
import os
from functools import partial

from mistralai.client import Mistral


def make(argument):
    """A call, as the SDK comes."""
    return partial(call, Mistral(api_key=os.environ["MISTRAL_API_KEY"]))


def call(client, case):
    """One call."""
    asked = {"model": case["model"], "messages": [{"role": "user", "content": case["prompt"]}]}
    if not case["stream"]:
        answer = client.chat.complete(**asked)
        choice = answer.choices[0]
        return {"finish": choice.finish_reason, "model": answer.model, "text": choice.message.content}
    with client.chat.stream(**asked) as events:
        chunks = [event.data for event in events]
    return {
        "finish": chunks[-1].choices[0].finish_reason,
        "model": chunks[0].model,
        "text": "".join(c.choices[0].delta.content or "" for c in chunks),
    }


serve(make)
