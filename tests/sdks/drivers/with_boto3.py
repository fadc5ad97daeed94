"""boto3: Bedrock's Converse, signed with SigV4, in one of botocore's modes of retrying."""

from asking import serve
from functools import partial

import boto3
from botocore.config import Config


def make(argument):
    """A call in one mode."""
    return partial(call, boto3.client("bedrock-runtime", config=Config(retries={"mode": argument})))


def call(client, case):
    """One call."""
    asked = {"modelId": case["model"], "messages": [{"role": "user", "content": [{"text": case["prompt"]}]}]}
    if not case["stream"]:
        answer = client.converse(**asked)
        text = answer["output"]["message"]["content"][0]["text"]
        return {"finish": answer["stopReason"], "model": case["model"], "text": text}
    events = list(client.converse_stream(**asked)["stream"])
    return {
        "finish": next(e["messageStop"]["stopReason"] for e in events if "messageStop" in e),
        "model": case["model"],
        "text": "".join(e["contentBlockDelta"]["delta"]["text"] for e in events if "contentBlockDelta" in e),
    }


serve(make)
