"""Errors as RFC 9457 problems. Each `detail` is one line with its remedy; /v2 has the error form of its standard."""

from __future__ import annotations

import http
import logging
from collections.abc import Mapping, Sequence

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import Response as AnyResponse

from ml.errors import CandleworksError

_logger = logging.getLogger(__name__)
MEDIA_TYPE = "application/problem+json"
#: Paths with this beginning answer errors as the Open Inference Protocol does.
INFERENCE = "/v2"


class Fault(BaseModel):
    """One fault of a request."""

    loc: list[str | int]
    msg: str


class Problem(BaseModel):
    """An error (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[Fault] | None = None


class InferenceProblem(BaseModel):
    """An error of the Open Inference Protocol."""

    error: str


class ApiError(Exception):
    """An error with a status.

    Args:
        status: HTTP status.
        kind: name of the kind of error, for programs; part of `type`.
        detail: one line with the remedy.
        headers: of the response.
        errors: the faults of the request, where there may be several.
    """

    def __init__(
        self,
        status: int,
        kind: str,
        detail: str,
        headers: Mapping[str, str] | None = None,
        errors: Sequence[Fault] = (),
    ) -> None:
        super().__init__(detail)
        self.status, self.kind, self.detail = status, kind, detail
        self.headers = dict(headers or {})
        self.errors = errors

    def response(self, path: str) -> Response:
        """The response to a request of this path."""
        if path.startswith(INFERENCE):
            content = orjson.dumps({"error": self.detail})
            return Response(content, self.status, self.headers, "application/json")
        problem = Problem(
            type=f"urn:candleworks:{self.kind}",
            title=http.HTTPStatus(self.status).phrase,
            status=self.status,
            detail=self.detail,
            errors=list(self.errors) or None,
        )
        content = orjson.dumps(problem.model_dump(exclude_none=True))
        return Response(content, self.status, self.headers, MEDIA_TYPE)


def add_handlers(application: FastAPI) -> None:
    """Answer every error as a problem."""

    @application.exception_handler(ApiError)
    async def known(request: Request, error: ApiError) -> AnyResponse:
        return error.response(request.url.path)

    @application.exception_handler(CandleworksError)
    async def unreadable(request: Request, error: CandleworksError) -> AnyResponse:
        _logger.error("%s %s: %s", request.method, request.url.path, error)
        return ApiError(503, "unreadable", error.lines()[0]).response(request.url.path)

    @application.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> AnyResponse:
        faults = [Fault(loc=list(one["loc"]), msg=str(one["msg"])) for one in error.errors()]
        first = f"{'.'.join(map(str, faults[0].loc))}: {faults[0].msg}" if faults else "The request is not valid"
        detail = f"{first}. /docs lists the parameters of every route."
        status = 400 if request.url.path.startswith(INFERENCE) else 422
        return ApiError(status, "invalid", detail, errors=faults).response(request.url.path)

    @application.exception_handler(HTTPException)
    async def of_the_framework(request: Request, error: HTTPException) -> AnyResponse:
        detail = {
            404: f"There is no {request.url.path}. /docs lists all routes.",
            405: f"{request.url.path} does not take {request.method}. /docs lists all routes.",
        }.get(error.status_code, str(error.detail))
        kind = http.HTTPStatus(error.status_code).phrase.lower().replace(" ", "-")
        return ApiError(error.status_code, kind, detail, error.headers).response(request.url.path)

    @application.exception_handler(Exception)
    async def defect(request: Request, error: Exception) -> AnyResponse:
        detail = "The server has a defect: its log has the traceback. Report it with the request that caused it."
        return ApiError(500, "defect", detail).response(request.url.path)
