"""What went wrong comes in; an answer of application/problem+json with a stable `code` goes out (RFC 9457)."""

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from schemas.organization import Role

MEDIA_TYPE = "application/problem+json"

TITLES = {
    400: "Bad request",
    401: "Who is calling?",
    403: "Not allowed",
    404: "Not found",
    405: "No such method",
    408: "Too slow",
    409: "Refused by the ledger",
    413: "Too large",
    415: "Unknown media type",
    422: "Not valid",
    429: "Too many requests",
    500: "A bug of ours",
    503: "Cannot tell now",
    504: "No answer in time",
}


class ProblemBody(BaseModel):
    """A problem as RFC 9457 has it; programs go by `code`."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(description="a name of the code", examples=["urn:usage-credits:problem:not_allowed"])
    title: str
    status: int
    code: str = Field(description="stable; what a program may go by", examples=["not_allowed"])
    detail: str
    request_id: str | None = None


class Problem(HTTPException):
    """Raised anywhere in a request: its answer.

    FastAPI lets an HTTPException alone through while it reads a body; of any other it says that it could not read it.
    """

    def __init__(
        self, status: int, code: str, detail: str, *, headers: dict[str, str] | None = None, **more: Any
    ) -> None:
        super().__init__(status, detail, headers or {})
        self.status, self.code, self.more = status, code, more


def not_allowed(detail: str) -> Problem:
    """The same whether the organisation exists or not: nobody learns of others by asking."""
    return Problem(403, "not_allowed", detail)


def bug() -> Problem:
    """Nothing is wrong with the request."""
    return Problem(500, "internal_error", "a bug of ours; the log says more")


def body_of(status: int, code: str, detail: str, request_id: str | None = None, **more: Any) -> dict[str, Any]:
    """The JSON of a problem."""
    return {
        "type": f"urn:usage-credits:problem:{code}",
        "title": TITLES.get(status, "Problem"),
        "status": status,
        "code": code,
        "detail": detail,
        "request_id": request_id,
        **more,
    }


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For OpenAPI: these answers are problems."""
    schema = {"$ref": "#/components/schemas/ProblemBody"}
    return {status: {"description": TITLES[status], "content": {MEDIA_TYPE: {"schema": schema}}} for status in statuses}


def answered(status: int, model: type[BaseModel], example: Any) -> dict[int | str, dict[str, Any]]:
    """For OpenAPI: this is the answer, and one for example."""
    return {status: {"model": model, "content": {"application/json": {"example": example}}}}


def least(role: Role) -> dict[str, Any]:
    """For OpenAPI: the lowest role that may see this of others; of themselves everybody may."""
    return {"x-least-role": role}


def answer_problems(app: FastAPI) -> None:
    """Have every error answered as a problem."""

    def answer(request: Request, problem: Problem) -> JSONResponse:
        request_id = request.scope.get("request_id")
        body = body_of(problem.status, problem.code, problem.detail, request_id, **problem.more)
        return JSONResponse(body, problem.status, problem.headers, MEDIA_TYPE)

    @app.exception_handler(Problem)
    async def _(request: Request, error: Problem) -> JSONResponse:
        return answer(request, error)

    @app.exception_handler(RequestValidationError)
    async def _(request: Request, error: RequestValidationError) -> JSONResponse:
        return answer(request, invalid(error.errors()))

    @app.exception_handler(HTTPException)
    async def _(request: Request, error: HTTPException) -> JSONResponse:
        codes = {404: "no_such_path", 405: "no_such_method"}
        code = codes.get(error.status_code, "bad_request")
        return answer(request, Problem(error.status_code, code, str(error.detail), headers=dict(error.headers or {})))

    @app.exception_handler(Exception)
    async def _(request: Request, _: Exception) -> JSONResponse:
        return answer(request, bug())  # the guard logs it


def invalid(errors: Any) -> Problem:
    """What pydantic found, without the values: a secret may be among them."""
    found = [{"at": "/".join(map(str, error["loc"])), "problem": error["msg"]} for error in errors]
    first = f"{found[0]['at'] or 'the body'}: {found[0]['problem']}" if found else "not valid"
    return Problem(422, "invalid", first, problems=found)
