"""How requests and answers are checked: by Connexion's validators, made to name every offending field in a sentence."""

from __future__ import annotations

import json
from typing import Any

from connexion.exceptions import BadRequestProblem
from connexion.validators import VALIDATOR_MAP
from connexion.validators.json import JSONRequestBodyValidator, JSONResponseBodyValidator
from connexion.validators.parameter import ParameterValidator

from .errors import InvalidDocument, InvalidSpecification, Problem
from .validation import SPECIFICATION, problems


class DocumentValidator(JSONRequestBodyValidator):  # type: ignore[misc]
    """Checks a JSON body by the schema that its title names; all of what is wrong is named at once."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "required": False})  # an empty body is refused as any other that is not JSON
        self._name = str(self._schema["title"])
        self._refusal = InvalidSpecification if self._name == SPECIFICATION else InvalidDocument

    async def _parse(self, stream: Any, scope: Any) -> Any:
        content = b"".join([message async for message in stream])
        try:
            return json.loads(content.decode(self._encoding))
        except (ValueError, LookupError, RecursionError) as exc:
            what = self._refusal.what
            message = "The body is not JSON." if content else f"The body is empty: a {what} in JSON is missing."
            raise self._refusal([Problem("", message)]) from exc

    def _validate(self, body: Any) -> None:
        found = problems(body, self._name)
        if found:
            refused = self._refusal(found)
            refused.parameters = body if isinstance(body, dict) and _is_json(body) else {}
            raise refused


def _is_json(document: object) -> bool:
    """Whether what was sent can be sent back: NaN cannot."""
    try:
        json.dumps(document, allow_nan=False).encode()
    except (ValueError, RecursionError):
        return False
    return True


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


LARGE = 1 << 20
"""Bytes of an answer above which it is a report full of output. Its shape is seen to where it is made; to read it once
more, here, would keep everybody waiting."""

UNREAD = object()


class AnswerValidator(JSONResponseBodyValidator):  # type: ignore[misc]
    """Checks what is answered, unless that is large."""

    def _parse(self, stream: Any) -> Any:
        body = b"".join(stream)
        return UNREAD if len(body) > LARGE else super()._parse(iter([body]))

    def _validate(self, body: Any) -> None:
        if body is not UNREAD:
            super()._validate(body)


VALIDATORS = {
    **VALIDATOR_MAP,
    "body": {**VALIDATOR_MAP["body"], "application/json": DocumentValidator},
    "parameter": NamingParameterValidator,
    # Text is streamed: what would check it would first collect it.
    "response": {"application/json": AnswerValidator},
}
