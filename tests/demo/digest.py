"""An agent on the asynchronous openai SDK: chat streams and responses side by side, far from its limit."""

import asyncio

import openai


async def chat(client: openai.AsyncOpenAI, n: int) -> int:
    """One streamed chat completion; how many pieces came."""
    pieces = 0
    async for piece in await client.chat.completions.create(
        model="gpt-4o-mini",
        stream=True,
        messages=[{"role": "user", "content": f"Sum up ticket {n}."}],
    ):
        pieces += bool(piece.choices)
    return pieces


async def respond(client: openai.AsyncOpenAI, n: int) -> int:
    """One response; how much of it is text."""
    answer = await client.responses.create(model="gpt-5-mini", input=f"Sum up thread {n}.", max_output_tokens=500)
    return len(answer.output_text)


async def main() -> None:
    """Sixty calls, twelve at a time."""
    client = openai.AsyncOpenAI()
    for n in range(0, 60, 12):
        await asyncio.gather(*((chat if k % 2 else respond)(client, n + k) for k in range(12)))
    print("digest: 60 summaries, none refused")


asyncio.run(main())
