"""The base of models of request bodies and query parameters."""

from __future__ import annotations

from typing import Any, Final, Self

from pydantic import BaseModel, ModelWrapValidatorHandler, ValidationError, model_validator
from pydantic_core import PydanticCustomError

TOO_MANY_ERRORS: Final = "too_many_errors"

_ERRORS_MAX: Final = 1_000
"""Errors of one request that are described. Pydantic describes all or none, at 3 to 6 µs each: a list of 1.5 million
wrong items, 3 MB, kept the event loop busy for 10 seconds."""


class RequestModel(BaseModel):
    """A model of what clients send; many errors are counted, so that a refusal is as cheap as an answer."""

    @model_validator(mode="wrap")
    @classmethod
    def _count_many_errors(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return handler(value)
        except ValidationError as error:
            count = error.error_count()
            if count <= _ERRORS_MAX:
                raise
        message = "has {count} invalid or unknown parts, too many to be listed"
        raise PydanticCustomError(TOO_MANY_ERRORS, message, {"count": f"{count:,}"})
