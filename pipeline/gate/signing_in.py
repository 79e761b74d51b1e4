"""A browser comes in without a session and goes out with one: by OpenID Connect, or on loopback as somebody known here.

Authorization code flow with PKCE (S256), state and nonce; what must be remembered meanwhile is sealed in a cookie of
ten minutes, so that any gate may take the way back. An ID token says who it is and nothing else: roles are ours (R1).
"""

import hmac
import secrets
from typing import Any
from urllib.parse import parse_qs

import httpx
import jwt
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.httpx_client import AsyncOAuth2Client
from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from pipeline.gate.issuer import Issuer, IssuerAway
from pipeline.gate.pages import HTML_HEADERS, sign_in_page
from pipeline.gate.parts import Gate, Parts
from pipeline.gate.problems import Problem
from schemas.base import is_identifier

router = APIRouter(include_in_schema=False)

PAGE = "/settings/usage"
BACK = "/sign-in/back"
_MINUTES_10 = 600
_MOST_SHOWN = 40


@router.get("/")
async def root() -> Response:
    """Whoever comes to the gate with a browser wants the page."""
    return RedirectResponse(PAGE, 303)


@router.get("/sign-in")
async def sign_in(gate: Parts, problem: str = "") -> Response:
    """The page where somebody signs in; on loopback with development tokens it lists who is known here."""
    known = gate.copy.some_members(_MOST_SHOWN) if gate.settings.gate_dev_tokens else []
    people = [(member.user_id, member.org_id, member.role.replace("_", " ")) for member in known]
    issuer = gate.callers.issuer
    shown = sign_in_page(people, issuer.url if issuer else None, problem, has_demo=gate.settings.gate_dev_tokens)
    return HTMLResponse(shown, headers=HTML_HEADERS)


@router.post("/sign-in/demo")
async def sign_in_as(request: Request, gate: Parts) -> Response:
    """Development alone: to be whoever one says."""
    if not gate.settings.gate_dev_tokens:
        raise Problem(404, "no_such_path", "only a gate on loopback with GATE_DEV_TOKENS has this")
    gate.sessions.needs_our_page(request)
    user_id = parse_qs((await request.body()).decode("ascii", "replace")).get("user_id", [""])[0]
    if not is_identifier(user_id):
        return RedirectResponse("/sign-in?problem=no_id", 303)
    response = RedirectResponse(PAGE, 303)
    gate.sessions.begin(response, user_id, gate.now())
    return response


@router.get("/sign-in/start")
async def start(gate: Parts) -> Response:
    """Off to the issuer."""
    issuer = _issuer(gate)
    try:
        authorization = await issuer.endpoint("authorization_endpoint")
    except IssuerAway:
        return RedirectResponse("/sign-in?problem=issuer_away", 303)
    verifier, nonce = secrets.token_urlsafe(48), secrets.token_urlsafe(24)
    url, state = _client(gate).create_authorization_url(authorization, code_verifier=verifier, nonce=nonce)
    sealed = gate.sessions.sealed(
        "sign-in", {"state": state, "nonce": nonce, "verifier": verifier}, gate.now() + _MINUTES_10
    )
    response = RedirectResponse(url, 303)
    # Lax: the way back comes from the issuer's site.
    gate.sessions.keep(response, _way(gate), sealed, _MINUTES_10, "lax")
    return response


@router.get(BACK)
async def back(request: Request, gate: Parts, state: str = "", code: str = "", error: str = "") -> Response:
    """The way back: the code is changed for an ID token, and that for a session."""
    issuer = _issuer(gate)
    begun = gate.sessions.opened(request.cookies.get(_way(gate), ""), "sign-in", gate.now())
    if begun is None or not hmac.compare_digest(begun["state"].encode(), state.encode()):
        return _failed(gate, "not_begun_here")
    if error or not code:
        return _failed(gate, "refused")
    try:
        endpoint = await issuer.endpoint("token_endpoint")
        async with _client(gate) as client:
            tokens = await client.fetch_token(endpoint, code=code, code_verifier=begun["verifier"])
        claims = await issuer.claims(tokens["id_token"], gate.settings.client_id)
    except (IssuerAway, httpx.HTTPError):
        return _failed(gate, "issuer_away")
    except (AuthlibBaseError, jwt.PyJWTError, KeyError, ValueError, TypeError):
        return _failed(gate, "refused")
    if not hmac.compare_digest(str(claims.get("nonce")).encode(), begun["nonce"].encode()):
        return _failed(gate, "refused")
    if not is_identifier(claims["sub"]):
        return _failed(gate, "no_id")
    response = RedirectResponse(PAGE, 303)
    gate.sessions.drop(response, _way(gate))
    gate.sessions.begin(response, claims["sub"], gate.now())
    return response


@router.post("/sign-out")
async def sign_out(request: Request, gate: Parts) -> Response:
    """The session is over, copies of its cookie too."""
    response = Response(status_code=204)
    if gate.sessions.actor(request, gate.now()) is not None:
        session = gate.sessions.read(request, gate.now())
        assert session is not None
        gate.sessions.end(response, session, gate.now())
    return response


def _client(gate: Gate) -> Any:
    secret = gate.settings.gate_client_secret
    return AsyncOAuth2Client(
        gate.settings.client_id,
        secret.get_secret_value() if secret else None,
        token_endpoint_auth_method="client_secret_basic" if secret else "none",
        scope="openid",
        redirect_uri=gate.sessions.origins[0] + BACK,
        code_challenge_method="S256",
        timeout=10,
    )


def _issuer(gate: Gate) -> Issuer:
    if gate.callers.issuer is None:
        raise Problem(404, "no_such_path", "no issuer is set (GATE_ISSUER)")
    return gate.callers.issuer


def _way(gate: Gate) -> str:
    return gate.sessions.cookie.replace("session", "sign-in")


def _failed(gate: Gate, problem: str) -> Response:
    response = RedirectResponse(f"/sign-in?problem={problem}", 303)
    gate.sessions.drop(response, _way(gate))
    return response
