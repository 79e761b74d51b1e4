"""The files of the page "Organization settings > Usage" come in; they go out as they are, under a strict policy.

No build step: what lies in page/ is what a browser gets, and it may load nothing from elsewhere.
"""

from html import escape
from pathlib import Path
from typing import Any

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, Response
from starlette.staticfiles import StaticFiles

FOLDER = Path(__file__).parent / "page"

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
HTML_HEADERS = {
    "content-security-policy": POLICY,
    "referrer-policy": "same-origin",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=()",
}
_SAID = {
    "issuer_away": "The sign-in service does not answer. Try again in a minute.",
    "not_begun_here": "That sign-in was not started in this browser, or took longer than ten minutes. Try again.",
    "refused": "The sign-in service did not say who you are. Try again, or ask your administrator.",
    "no_id": "A user id is 1 to 128 printable ASCII characters without spaces.",
    "signed_out": "You are signed out.",
    "session_over": "Your session has ended. Sign in again to continue.",
}

router = APIRouter(include_in_schema=False)


class Files(StaticFiles):
    """Files that a browser keeps but asks about each time; the page is under its policy by this path, too."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        """The file, or that it is the same."""
        response = super().file_response(*args, **kwargs)
        response.headers.update(HTML_HEADERS | {"cache-control": "no-cache"})
        return response


@router.get("/settings/usage")
async def usage_page() -> Response:
    """The page; the same for everybody, it asks for what it shows."""
    return HTMLResponse((FOLDER / "index.html").read_bytes(), headers=HTML_HEADERS)


def sign_in_page(people: list[tuple[str, str, str]], issuer: str | None, problem: str, *, has_demo: bool) -> str:
    """The page where one signs in.

    Args:
        people: who is known here: user id, organisation, role; for development.
        problem: a word of ours for what went wrong.
    """
    parts = []
    if problem in _SAID:
        parts.append(f'<p class="notice" role="status">{_SAID[problem]}</p>')
    if issuer is not None:
        parts.append('<p><a class="button primary wide" href="/sign-in/start">Sign in</a></p>')
        parts.append(f'<p class="quiet">You sign in at {escape(issuer)}.</p>')
    if has_demo:
        parts.append(_demo(people))
    return (FOLDER / "sign-in.html").read_text().replace("<!-- ways -->", "\n".join(parts))


def _demo(people: list[tuple[str, str, str]]) -> str:
    found: dict[str, list[str]] = {}
    for user_id, org_id, role in people:
        found.setdefault(org_id, []).append(
            f'<li><button name="user_id" value="{escape(user_id)}">{escape(user_id)}'
            f'<small class="quiet">{escape(role)}</small></button></li>'
        )
    groups = "".join(f"<h2>{escape(org_id)}</h2><ul>{''.join(rows)}</ul>" for org_id, rows in found.items())
    if not found:
        groups = "<p>Nobody is registered here yet. Start with <code>usage-credits up --demo</code>.</p>"
    return (
        '<p class="quiet">This gate runs on your machine and does not check who you are. Sign in as one of these:</p>'
        f'<form class="people" method="post" action="/sign-in/demo">{groups}</form>'
        '<form class="row" method="post" action="/sign-in/demo"><label for="user_id">Somebody else</label>'
        '<input id="user_id" name="user_id" required maxlength="128" autocomplete="off" spellcheck="false">'
        "<button>Sign in</button></form>"
    )
