"""Errors as HTTP responses."""

from starlette.responses import JSONResponse

from serving.openai.error import ApiError


def error_response(error: ApiError) -> JSONResponse:
    return JSONResponse(error.body(), error.status, error.headers)
