"""The ASGI application: routes, the page, security headers."""

from __future__ import annotations

import json
from typing import Final

from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from protome.errors import ProtomeError
from protome.sample import SAMPLE
from protome.server.backend import Backend
from protome.server.calls import status

from .accept import JSON
from .answers import to_json
from .calls import begin_call
from .openapi import describe_api
from .pages import Page, page_routes
from .problems import PROBLEM, plain_problem, problem
from .reconstruct import PATH, ReconstructEndpoint

# The page loads only what this server sends, and only its own scripts and styles run.
POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
SECURITY_HEADERS: Final = {
    "content-security-policy": POLICY,
    "permissions-policy": "camera=(self), microphone=(), geolocation=()",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
}
# What scripts of other origins may send and read, if their origins are allowed.
CORS_HEADERS: Final = ("authorization", "content-type", "x-request-id", "traceparent")
CORS_READ: Final = ("x-request-id", "traceparent", "retry-after", "protome-faces")


def create_app(backend: Backend) -> ASGIApp:
    """Create the application of one server."""
    document = json.dumps(describe_api(backend.config), separators=(",", ":")).encode()
    sample = Page.of(SAMPLE.read_bytes(), "image/jpeg", compressible=False)

    async def info(request: Request) -> Response:
        return _info(backend, request.headers)

    origins = [origin.strip() for origin in backend.config.web_origins.split(",")]
    middleware = [Middleware(_SecurityHeaders)]
    if any(origins):
        middleware.append(
            Middleware(
                CORSMiddleware,
                allow_origins=origins,
                allow_methods=["GET", "POST"],
                allow_headers=CORS_HEADERS,
                expose_headers=CORS_READ,
            )
        )
    return Starlette(
        routes=[
            Route(PATH, ReconstructEndpoint(backend), methods=["POST"]),
            Route("/v1/info", info),
            Page.of(document, JSON).route("/openapi.json"),
            sample.route("/sample.jpg"),
            *page_routes(),
        ],
        middleware=middleware,
        exception_handlers={HTTPException: _http_error},
    )


def _info(backend: Backend, headers: Headers) -> Response:
    """Answer with the facts of GetServerInfo."""
    call = begin_call(backend, headers, "GET /v1/info")
    code = "OK"
    try:
        backend.authenticated(call, headers.getlist("authorization"))
        response = Response(to_json(backend.info), media_type=JSON)
    except ProtomeError as error:
        code = status.code(error).name
        status_code, pairs, body = problem(error)
        response = Response(body, status_code, dict(pairs))
    call.span.end(code)
    response.headers.update(dict(call.metadata))
    return response


async def _http_error(request: Request, error: Exception) -> Response:
    """Answer an error of HTTP itself, such as an unknown URL."""
    del request
    assert isinstance(error, HTTPException)
    headers = {**(error.headers or {}), "content-type": PROBLEM}
    return Response(plain_problem(error.status_code, error.detail), error.status_code, headers)


class _SecurityHeaders:
    """Add the security headers to every response; let browsers ask whether a page has changed."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(SECURITY_HEADERS)
                own = scope["path"].startswith("/v1/")
                headers["cache-control"] = "no-store" if own else "no-cache"
            await send(message)

        await self._app(scope, receive, send_with_headers)
