"""An agent on the asynchronous anthropic SDK: ten streams at once, until its budget slows it down."""

import asyncio

import anthropic


async def read(client: anthropic.AsyncAnthropic, topics: list[int], answered: list[int]) -> None:
    """Takes topics from the list and streams an answer for each; lets the SDK wait where it is told to."""
    while topics:
        topic = topics.pop()
        async with client.messages.stream(
            model="claude-haiku-4-5",
            max_tokens=2000,
            messages=[{"role": "user", "content": f"What is known of topic {topic}?"}],
        ) as stream:
            async for _ in stream.text_stream:
                pass
        answered.append(topic)


async def main() -> None:
    """Forty topics; those that the pace leaves over are for later."""
    client, topics, answered = anthropic.AsyncAnthropic(max_retries=0), list(range(60)), []
    results = await asyncio.gather(*(read(client, topics, answered) for _ in range(10)), return_exceptions=True)
    paced = next((r for r in results if isinstance(r, anthropic.RateLimitError)), None)
    if paced is None:
        raise next((r for r in results if isinstance(r, BaseException)), RuntimeError("nothing slowed the agent down"))
    print(
        f"research: {len(answered)} topics, then HTTP 429 and Retry-After {paced.response.headers['retry-after']}: {paced.body['error']['message']}"
    )  # type: ignore[index]


asyncio.run(main())
