"""An agent that knows nothing of budgets: calls OpenAI with the vendor's SDK until it is refused or has made all its calls."""

import json
import os
import signal
import time

import openai

label, calls, tokens = os.environ["LABEL"], int(os.environ["CALLS"]), os.environ.get("TOKENS", "200")
client = openai.OpenAI(
    api_key="sk-agent",
    max_retries=int(os.environ.get("RETRIES", "2")),
    default_headers={"x-sim-label": label, "x-sim-output-tokens": tokens},
)
told_to_end = []
signal.signal(signal.SIGTERM, lambda *_: told_to_end.append(True))
for number in range(calls):
    if told_to_end:
        break
    try:
        answer = client.chat.completions.create(
            model=os.environ.get("MODEL", "gpt-4o"),
            max_tokens=int(tokens),
            messages=[{"role": "user", "content": f"Sort letter {number} into one of the five folders."}],
        )
        print(json.dumps({"status": 200, "tokens": answer.usage.total_tokens}), flush=True)
    except openai.APIStatusError as refused:
        print(json.dumps({"status": refused.status_code, "code": refused.code, "message": refused.message}), flush=True)
        break
    except openai.OpenAIError as failed:
        print(json.dumps({"status": 0, "error": repr(failed), "cause": repr(failed.__cause__)}), flush=True)
        if not os.environ.get("PERSIST"):
            break
    time.sleep(float(os.environ.get("PAUSE", "0")))
end = time.monotonic() + float(os.environ.get("LINGER", "0"))
while time.monotonic() < end and not told_to_end:
    time.sleep(0.2)
