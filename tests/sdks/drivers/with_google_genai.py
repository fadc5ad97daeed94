"""google-genai: generateContent, without retries as it comes (`plain`), and with those a caller asks for (`retries`)."""

from asking import serve
from functools import partial

from google import genai
from google.genai import types


def make(argument):
    """A call with or without retries."""
    options = types.HttpOptions(retry_options=types.HttpRetryOptions()) if argument == "retries" else None
    return partial(call, genai.Client(http_options=options))


def call(client, case):
    """One call."""
    asked = {"model": case["model"], "contents": case["prompt"]}
    if case["stream"]:
        chunks = list(client.models.generate_content_stream(**asked))
    else:
        chunks = [client.models.generate_content(**asked)]
    return {
        "finish": chunks[-1].candidates[0].finish_reason.value,
        "model": chunks[-1].model_version,
        "text": "".join(chunk.text or "" for chunk in chunks),
    }


serve(make)
