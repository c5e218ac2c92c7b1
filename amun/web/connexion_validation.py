"""How requests and answers are checked: by Connexion's validators, made to name every offending field in a sentence."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from connexion.exceptions import BadRequestProblem
from connexion.validators import VALIDATOR_MAP
from connexion.validators.json import JSONRequestBodyValidator, JSONResponseBodyValidator
from connexion.validators.parameter import ParameterValidator
from starlette.types import Message, Send

from amun.errors import InvalidDocument, InvalidSpecification, Problem
from amun.validation.problems import SPECIFICATION, problems

POSTED = "amun.posted"
"""Where the ASGI scope has the document that was posted, read and checked."""

ENCODINGS = ("utf-8", "utf-16", "utf-32", "us-ascii", "iso-8859-1")
"""What JSON is read in; others of Python's decoders take as long as a stranger likes."""

SMALL = 4 * 1024
"""Bytes that are checked at once: a thread would take longer."""

LARGE = 256 * 1024
"""Bytes from which on documents have threads of their own, lest ordinary ones wait for them."""

ANSWER_MAX = 1 << 20
"""Bytes of an answer that are checked."""

_FEW, _FEWER = (ThreadPoolExecutor(number, thread_name_prefix="check") for number in (4, 2))


class DocumentValidator(JSONRequestBodyValidator):  # type: ignore[misc]
    """Checks a JSON body by the schema that its title names; all of what is wrong is named at once."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "required": False})  # an empty body is refused as any other that is not JSON
        self._name = str(self._schema["title"])
        self._refusal = InvalidSpecification if self._name == SPECIFICATION else InvalidDocument

    async def _parse(self, stream: Any, scope: Any) -> Any:
        content = b"".join([message async for message in stream])
        document = scope["extensions"][POSTED] = await _beside(self._read, content)
        return document

    def _read(self, content: bytes) -> Any:
        try:
            document = json.loads(content.decode(self._encoding if self._encoding.lower() in ENCODINGS else "utf-8"))
        except (ValueError, RecursionError) as exc:
            what = self._refusal.what
            message = "The body is not JSON." if content else f"The body is empty: a {what} in JSON is missing."
            raise self._refusal([Problem("", message)]) from exc
        found = problems(document, self._name)
        if found:
            refused = self._refusal(found)
            refused.parameters = document if isinstance(document, dict) else {}
            raise refused
        return document

    def _validate(self, body: Any) -> None:
        """As it was read, so was it checked."""


async def _beside(check: Callable[[bytes], Any], content: bytes) -> Any:
    """Run what looks at `content` where nobody else has to wait for it; those of a large one only for each other."""
    if len(content) <= SMALL:
        return check(content)
    threads = _FEW if len(content) <= LARGE else _FEWER
    return await asyncio.get_running_loop().run_in_executor(threads, check, content)


class NamingParameterValidator(ParameterValidator):  # type: ignore[misc]
    """Says which parameter it is that is wrong, and nothing of the schema."""

    def validate_query_parameter_list(self, request: Any, security_params: Any = None) -> set[str]:
        unknown = super().validate_query_parameter_list(request, security_params)
        if unknown:
            raise BadRequestProblem(f"There is no query parameter `{min(unknown)[:80]}` here.")
        return set()

    @staticmethod
    def validate_parameter(
        parameter_type: str, value: Any, param: dict[str, Any], param_name: str | None = None
    ) -> str | None:
        error = ParameterValidator.validate_parameter(parameter_type, value, param, param_name)
        if error is None:
            return None
        return f"The {parameter_type} parameter `{param['name']}` is not valid: {error.splitlines()[0][:200]}."


class AnswerValidator(JSONResponseBodyValidator):  # type: ignore[misc]
    """Checks what is answered, unless that is a report full of output, whose shape is seen to where it is made."""

    def wrap_send(self, send: Send) -> Send:
        messages: list[Message] = []

        async def sent(message: Message) -> None:
            messages.append(message)
            if message["type"] == "http.response.start" or message.get("more_body"):
                return
            content = b"".join(each.get("body", b"") for each in messages)
            if len(content) <= ANSWER_MAX:
                await _beside(self._check, content)
            while messages:
                await send(messages.pop(0))

        return sent

    def _check(self, content: bytes) -> None:
        self._validate(self._parse(iter([content])))


VALIDATORS = {
    **VALIDATOR_MAP,
    "body": {**VALIDATOR_MAP["body"], "application/json": DocumentValidator},
    "parameter": NamingParameterValidator,
    # Text is streamed: what would check it would first collect it.
    "response": {"application/json": AnswerValidator},
}
