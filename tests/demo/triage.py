"""An agent on the synchronous openai SDK: it works until its budget refuses it."""

import openai

client = openai.OpenAI()
done = 0
try:
    while True:
        answer = client.chat.completions.create(
            model="gpt-4o",
            max_tokens=300,
            messages=[{"role": "user", "content": f"Invoice {done}: which of its lines are wrong?"}],
        )
        assert answer.choices[0].message.content
        done += 1
except openai.APIStatusError as refused:
    budget = refused.body["budget"]  # type: ignore[index]
    print(
        f"triage: {done} invoices, then HTTP {refused.status_code} {refused.code}: spent ${budget['spent']} of"
        f" ${budget['limit']}, resets {budget['resetsAt']}; {budget['suggestedModel']} would still fit"
    )
