"""LangChain over OpenAI or Google, each as it comes, with retries of its own."""

from asking import serve
from functools import partial


def make(argument):
    """A call of one provider's integration."""
    if argument == "openai":
        from langchain_openai import ChatOpenAI as Chat
    else:
        from langchain_google_genai import ChatGoogleGenerativeAI as Chat
    return partial(call, Chat)


def call(chat, case):
    """One call; streamed chunks add up to one message."""
    model = chat(model=case["model"])
    if case["stream"]:
        first, *more = model.stream(case["prompt"])
        answer = sum(more, first)
    else:
        answer = model.invoke(case["prompt"])
    told = answer.response_metadata
    return {
        "finish": told["finish_reason"],
        "model": told.get("model_name") or told.get("model"),
        "text": answer.text if isinstance(answer.text, str) else answer.text(),
    }


serve(make)
