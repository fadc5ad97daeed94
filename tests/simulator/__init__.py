"""A simulator of LLM providers that bills by itself: it shares neither code nor prices with what it tests.

It speaks, unary and streamed, what routes.py lists: OpenAI (chat, completions, responses, also in the background,
embeddings, images, audio, batches, Realtime) and who speaks as it does (Azure, Mistral, Groq, xAI, DeepSeek, Perplexity,
OpenRouter, Together, Fireworks, Cerebras), Anthropic, Gemini, Vertex, Bedrock, Cohere and Ollama; lists of models and
token counts are free. Who is meant is told by the host, else by the path, which may begin with ``/at/HOST``
(``Urls.at``).

Each call behaves as its ``x-sim-*`` headers say (behaviour.py), else as ``metadata`` says (OpenAI:
``{"sim": "output-tokens=5;fault=cut"}``, Anthropic: ``user_id`` beginning with ``sim:``, Vertex: ``labels``, Bedrock:
``requestMetadata``), else as the server's defaults. Every billed call becomes a line:

- ``GET /sim/bill`` JSON lines, ``GET /sim/bill/summary`` sums; ``?wait=1`` waits for open calls, ``?label=`` selects
- ``GET /sim/seen`` the last model calls as they arrived (``?label=``), for what reached the provider
- ``PUT /sim/defaults`` changes behaviour by dashed names, and ``bill-cut``; ``POST /sim/reset`` begins anew
- ``POST /v1/files`` (swallowed and counted), ``GET /download?bytes=N``

When a call ends otherwise than whole: a unary call is billed whole; a stream by ``bill_cut``, ``whole`` or ``made``,
the tokens made until the client was seen to have left. Errors are never billed.
"""

from simulator.provider import Provider
from simulator.serving import Urls, running

__all__ = ["Provider", "Urls", "running"]
