"""OpenAI Chat Completions, ``POST …/chat/completions``, as OpenAI speaks it and as others do (chat_habits.py).

Shapes: openai-python ``openai/types/chat`` and ``openai/types/completion_usage.py``. At OpenAI the usage chunk comes
last, with ``choices: []``, only where ``stream_options.include_usage`` asks; the other chunks then carry ``usage: null``.
"""

from collections.abc import Iterator
from typing import Any

from simulator import openai_errors, prices
from simulator.answer import Answer, Ask, count_tokens, text
from simulator.asked import Asked
from simulator.chat_habits import ASKED, EVERY, HABITS, LAST, OWN, Habit
from simulator.framing import DONE, packed
from simulator.refused import Refused, whole_number
from simulator.shape import Shape

_OPENAIS = frozenset({"openai", "azure"})


def named_model(asked: Asked) -> tuple[prices.Model, str, str]:
    """The model, the name that answers and the name that was asked for: Azure's older paths name a deployment."""
    deployment = asked.names[0] if "/deployments/" in asked.path else None
    named = deployment or asked.body.get("model")
    found = prices.find(asked.provider, named)
    if found is None:
        raise openai_errors.no_such_model(named)
    return *found, str(named)


def output_cap(body: dict[str, Any], *names: str) -> int | None:
    """The first cap that the request names."""
    return next((cap for name in names if (cap := whole_number(body, name, 1)) is not None), None)


def _habit(answer: Answer) -> Habit:
    return HABITS[answer.ask.model.provider]


class Chat(Shape):
    """The chat of OpenAI and of all who speak as it does."""

    id_prefix = "chatcmpl-"

    def read(self, asked: Asked) -> Ask:
        """What the request asks; raises Refused."""
        body, habit = asked.body, HABITS[asked.provider]
        model, served, named = named_model(asked)
        if not isinstance(body.get("messages"), list) or not body["messages"]:
            raise Refused(400, "Missing required parameter: 'messages'.", param="messages")
        stream = bool(body.get("stream"))
        options = body.get("stream_options")
        if options and not stream:
            raise Refused(
                400, "The 'stream_options' parameter is only allowed when 'stream' is enabled.", param="stream_options"
            )
        new, old = whole_number(body, "max_completion_tokens", 1), whole_number(body, "max_tokens", 1)
        if new is not None and old is not None:
            raise Refused(400, "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.")
        cap = old if new is None else new
        if cap is not None and cap > model.most_output:
            raise Refused(
                400,
                f"max_tokens is too large: {cap}. This model supports at most {model.most_output} completion tokens.",
                param="max_tokens",
            )
        return Ask(
            model=model,
            served=served,
            stream=stream,
            cap=cap,
            text_tokens=count_tokens(
                body["messages"], body.get("tools"), body.get("functions"), body.get("response_format")
            ),
            choices=whole_number(body, "n", 1) or 1,
            include_usage=isinstance(options, dict) and options.get("include_usage") is True,
            tells=habit.tells,
            named=named,
            asked=asked,
        )

    def whole(self, answer: Answer) -> bytes:
        """The unary body."""
        message: dict[str, Any] = {"role": "assistant", "content": text(0, answer.shown)}
        provider = answer.ask.model.provider
        if provider in _OPENAIS:
            message |= {"refusal": None, "annotations": []}
        reason = "length" if answer.capped else "stop"
        body: dict[str, Any] = {
            "id": answer.id,
            "object": "chat.completion",
            "created": answer.created,
            "model": answer.model,
            "choices": [
                {"index": index, "message": message, "logprobs": None, "finish_reason": reason}
                for index in range(answer.ask.choices)
            ],
        }
        if provider in _OPENAIS:
            body |= {"service_tier": "default", "system_fingerprint": "fp_simulator"}
        if provider == "groq":
            body["x_groq"] = {"id": f"req_{answer.id}"}
        told = answer.tell(_habit(answer).usage(answer))
        if told is not None:
            body["usage"] = told
        return packed(body).encode()

    def frames(self, answer: Answer) -> Iterator[tuple[bytes, int]]:
        """The stream's frames, each with the tokens it shows."""
        provider, habit = answer.ask.model.provider, _habit(answer)
        asked = answer.ask.include_usage
        tier = '"service_tier":"default","system_fingerprint":"fp_simulator",' if provider in _OPENAIS else ""
        head = (
            f'data: {{"id":"{answer.id}","object":"chat.completion.chunk","created":{answer.created},'
            f'"model":"{answer.model}",{tier}"choices":'
        )
        told = answer.tell(habit.usage(answer))
        last = "}\n\n" if told is None else f',"usage":{packed(told)}}}\n\n'
        tail = ',"usage":null}\n\n' if asked and habit.where == ASKED else "}\n\n"
        made = 0

        def frame(index: int, delta: str, reason: str, tail: str = tail) -> bytes:
            """One chunk."""
            choice = f'[{{"index":{index},"delta":{{{delta}}},"logprobs":null,"finish_reason":{reason}}}]'
            return f"{head}{choice}{tail}".encode()

        def so_far() -> str:
            """The usage until here, where every chunk tells it."""
            if habit.where != EVERY or told is None:
                return tail
            usage = answer.usage._replace(output=answer.reasoning + made)
            counted = {"prompt_tokens": usage.input, "completion_tokens": usage.output}
            return f',"usage":{packed(answer.tell({**counted, "total_tokens": usage.input + usage.output}))}}}\n\n'

        yield from ((opening, 0) for opening in _openings(answer, head))
        indexes = range(answer.ask.choices)
        for index in indexes:
            role = '"role":"assistant","content":""' + (',"refusal":null' if provider in _OPENAIS else "")
            yield frame(index, role, "null", so_far()), 0
        for piece, count in answer.pieces():
            for index in indexes:
                made += count
                yield frame(index, f'"content":"{piece}"', "null", so_far()), count
        ending = last if habit.where in {LAST, EVERY} else tail
        if provider == "groq":
            named = {"id": f"req_{answer.id}", **({} if told is None else {"usage": told})}
            ending = f',"x_groq":{packed(named)}{tail}'
        for index in indexes:
            closing = ending if index == indexes[-1] else tail
            yield frame(index, "", '"length"' if answer.capped else '"stop"', closing), 0
        if told is not None and (habit.where == OWN or (habit.where == ASKED and asked)):
            # OpenRouter's last chunk has a choice without content, the others' has none.
            choices = '[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]'
            yield f"{head}{choices if provider == 'openrouter' else '[]'}{last}".encode(), 0
        yield DONE, 0

    error = openai_errors.error
    too_long = openai_errors.too_long


def _openings(answer: Answer, head: str) -> Iterator[bytes]:
    """What comes before the first chunk: Azure's verdict on the prompt, OpenRouter's comment."""
    provider = answer.ask.model.provider
    if provider == "azure":
        verdict = [{"prompt_index": 0, "content_filter_results": {}}]
        said = {"id": "", "object": "", "created": 0, "model": "", "choices": [], "prompt_filter_results": verdict}
        yield f"data: {packed(said)}\n\n".encode()
    if provider == "openrouter":
        yield b": OPENROUTER PROCESSING\n\n"


CHAT = Chat()
