"""An agent that calls Anthropic with the vendor's SDK, streaming, until it is refused or has made all its calls."""

import json
import os
import time

import anthropic

label, calls, tokens = os.environ["LABEL"], int(os.environ["CALLS"]), os.environ.get("TOKENS", "200")
client = anthropic.Anthropic(
    api_key="sk-ant-agent",
    max_retries=int(os.environ.get("RETRIES", "2")),
    default_headers={"x-sim-label": label, "x-sim-output-tokens": tokens},
)
for number in range(calls):
    try:
        with client.messages.stream(
            model=os.environ.get("MODEL", "claude-sonnet-4-5"),
            max_tokens=int(tokens),
            messages=[{"role": "user", "content": f"Summarise letter {number} in a sentence."}],
        ) as stream:
            usage = stream.get_final_message().usage
        print(json.dumps({"status": 200, "tokens": usage.input_tokens + usage.output_tokens}), flush=True)
    except anthropic.APIStatusError as refused:
        print(json.dumps({"status": refused.status_code, "message": refused.message}), flush=True)
        break
    except anthropic.AnthropicError as failed:
        print(json.dumps({"status": 0, "error": repr(failed), "cause": repr(failed.__cause__)}), flush=True)
        break
    time.sleep(float(os.environ.get("PAUSE", "0")))
time.sleep(float(os.environ.get("LINGER", "0")))
