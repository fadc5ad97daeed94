"""Mistral's ``/fim/completions``: a prompt and a suffix instead of messages, answered as a chat.

Shapes: mistralai ``client/models/fimcompletionrequest.py``, ``fimcompletionresponse.py``.
"""

from dataclasses import replace

from simulator.answer import Ask
from simulator.asked import Asked
from simulator.chat import Chat


class Fim(Chat):
    """Fill in the middle."""

    id_prefix = ""

    def read(self, asked: Asked) -> Ask:
        """What the request asks; raises Refused."""
        body = asked.body
        words = [{"role": "user", "content": f"{body.get('prompt') or ''}{body.get('suffix') or ''}"}]
        return super().read(replace(asked, body={**body, "messages": words}))


FIM = Fim()
