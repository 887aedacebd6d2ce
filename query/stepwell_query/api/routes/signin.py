"""Sign-in and sign-out of the page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse

from stepwell_query.access.oidc_sign_in import CALLBACK, SignInError
from stepwell_query.access.sign_in import FORM_MAX_BYTES, FORM_TYPE, SignIn, read_form
from stepwell_query.access.sign_in_page import POLICY, PROVIDER, SIGN_IN, SIGN_OUT, SIGNED_OUT, SignInPage, check_return
from stepwell_query.api.routes.page import read_page
from stepwell_query.web_assets import AssetsMissingError
from stepwell_schemas.access.audit import Action, AuditEntry
from stepwell_schemas.access.authorize import public
from stepwell_schemas.access.identity import Identity, Method
from stepwell_schemas.access.middleware import IDENTITY
from stepwell_schemas.access.refusals import no_credential
from stepwell_schemas.access.routes import AccessRoute
from stepwell_schemas.errors import ProviderError, StoreError
from stepwell_schemas.http.problem_types import ProblemType
from stepwell_schemas.http.problems import problem

router = APIRouter(tags=["page"], include_in_schema=False, route_class=AccessRoute)
api = APIRouter(prefix="/api/v1", tags=["service"], route_class=AccessRoute)

_TOO_MANY = "too many attempts have failed; wait a moment"
_WRONG_KEY = "This key is unknown, expired or revoked."
_NO_ANSWER = "ClickHouse does not answer, so that no key can be checked; try again."
_SIGNED_OUT_NOTE = "You are signed out."
_ENDED_NOTE = "Your session has ended. Sign in again to continue."
_log = structlog.get_logger("stepwell.access")


async def get_sign_in(request: Request) -> SignIn:
    """Return the sign-in of the application that handles the request."""
    sign_in: SignIn = request.app.state.sign_in
    return sign_in


SignInDep = Annotated[SignIn, Depends(get_sign_in)]


@router.get(SIGN_IN)
@public
async def sign_in_page(request: Request, sign_in: SignInDep) -> Response:
    """Return the page with the form for a key, and the link to the identity provider."""
    return_to = check_return(request.query_params.get("next"))
    if isinstance(request.scope.get(IDENTITY), Identity):
        # Signed in already, or a service without access control.
        return _see_other(return_to)
    return _page(sign_in, 200, return_to, note=_note(request.query_params))


@router.post(SIGN_IN)
@public
async def sign_in_with_key(request: Request, sign_in: SignInDep) -> Response:
    """Begin a session with the key of the form."""
    form = read_form(request.headers.get("content-type", ""), await request.body())
    return_to = check_return(form.get("next"))
    if not form:
        return problem(
            415,
            ProblemType.NO_FORM,
            "Not a form",
            f"send a form of at most {FORM_MAX_BYTES:,} bytes with the field `key`, as {FORM_TYPE}",
        )
    client = _client(request)
    if seconds := sign_in.attempts.seconds_to_wait(client):
        return _wait(sign_in, return_to, seconds)
    try:
        found = await sign_in.with_key(form.get("key", "").strip())
    except StoreError as error:
        _log.warning("access_keys_unreadable", error=str(error))
        return _page(sign_in, 503, return_to, error=_NO_ANSWER)
    if found is None:
        sign_in.attempts.failed(client)
        _record(request, AuditEntry(Action.SIGN_IN_FAILED, method=Method.KEY, status=401, address=client))
        return _page(sign_in, 401, return_to, error=_WRONG_KEY)
    session, identity = found
    _record(request, AuditEntry.by(identity, Action.SIGN_IN, status=303, address=client))
    return _see_other(return_to, sign_in.access.sessions.cookie(session))


@router.get(PROVIDER)
@public
async def begin_at_provider(request: Request, sign_in: SignInDep) -> Response:
    """Lead the browser to the identity provider."""
    return_to = check_return(request.query_params.get("next"))
    client = _client(request)
    if seconds := sign_in.attempts.seconds_to_wait(client):
        return _wait(sign_in, return_to, seconds)
    try:
        address, cookie = await sign_in.begin_at_provider(return_to)
    except (SignInError, ProviderError) as error:
        return _failed(request, sign_in, return_to, error)
    return _see_other(address, cookie)


@router.get(CALLBACK)
@public
async def finish_at_provider(request: Request, sign_in: SignInDep) -> Response:
    """Begin the session of the user whom the identity provider sends back."""
    client = _client(request)
    if seconds := sign_in.attempts.seconds_to_wait(client):
        return _wait(sign_in, "/", seconds)
    try:
        session, return_to = await sign_in.finish_at_provider(
            dict(request.query_params), request.headers.get("cookie", "")
        )
    except (SignInError, ProviderError) as error:
        return _failed(request, sign_in, "/", error)
    _record(request, AuditEntry(Action.SIGN_IN, session.name, Method.OIDC, status=303, address=client))
    return _see_other(return_to, sign_in.access.sessions.cookie(session), sign_in.end_of_pending())


@router.post(SIGN_OUT)
@public
async def sign_out(request: Request, sign_in: SignInDep) -> Response:
    """End the session of the request, here and at all other services, and remove its cookie.

    A user of the identity provider is led there, to be signed out there, too. A script gets the address as JSON: what
    `fetch` is redirected to is hidden from it.
    """
    sessions = sign_in.access.sessions
    session = None
    try:
        session = await sessions.find(request.headers.get("cookie", ""))
        if session is not None:
            _record_sign_out(request)
            await sessions.end(session)
    except StoreError as error:
        # The browser forgets the session in any case.
        _log.warning("session_end_not_stored", error=str(error))
    address = await sign_in.sign_out_address(session)
    if "application/json" not in request.headers.get("accept", ""):
        return _see_other(address, sessions.removal())
    return JSONResponse({"location": address}, headers={"set-cookie": sessions.removal(), "cache-control": "no-store"})


@api.get("/signin")
@public
async def ways_to_sign_in(sign_in: SignInDep) -> dict[str, Any]:
    """Return how to sign in: whether the service is open, and the identity provider for `stepwell login`."""
    oidc = sign_in.access.oidc
    device = {"issuer": oidc.oidc_issuer, "client_id": oidc.device_client_id, "scopes": oidc.oidc_scopes}
    try:
        is_open = await sign_in.access.authenticator.is_open()
    except StoreError:
        is_open = False
    return {"open": is_open, "oidc": {"name": oidc.provider_name, **device} if oidc.oidc_issuer else None}


def _note(query: Mapping[str, str]) -> str:
    """Return the message of the sign-in page, by the address that leads to it."""
    if SIGNED_OUT in query or query.get("state") == SIGNED_OUT:
        return _SIGNED_OUT_NOTE
    return _ENDED_NOTE if "ended" in query else ""


def _client(request: Request) -> str:
    return request.client.host if request.client is not None else ""


def _record(request: Request, entry: AuditEntry) -> None:
    request.app.state.context.audit.record(entry)


def _record_sign_out(request: Request) -> None:
    identity = request.scope.get(IDENTITY)
    if isinstance(identity, Identity):
        _record(request, AuditEntry.by(identity, Action.SIGN_OUT, status=303, address=_client(request)))


def _failed(request: Request, sign_in: SignIn, return_to: str, error: Exception) -> Response:
    client = _client(request)
    unreachable = isinstance(error, ProviderError)
    if not unreachable:
        sign_in.attempts.failed(client)
    status = 503 if unreachable else 403
    detail = {"reason": str(error)}
    _record(
        request, AuditEntry(Action.SIGN_IN_FAILED, method=Method.OIDC, status=status, address=client, detail=detail)
    )
    text = "The identity provider does not answer as it should; try again later." if unreachable else _sentence(error)
    answer = _page(sign_in, status, return_to, error=text)
    answer.headers.append("set-cookie", sign_in.end_of_pending())
    return answer


def _wait(sign_in: SignIn, return_to: str, seconds: int) -> Response:
    answer = _page(sign_in, 429, return_to, error=f"{_sentence(_TOO_MANY)} ({seconds} s)")
    answer.headers["retry-after"] = str(seconds)
    return answer


def _page(sign_in: SignIn, status: int, return_to: str, *, error: str = "", note: str = "") -> Response:
    try:
        template = read_page().sign_in
    except AssetsMissingError as missing:
        return problem(503, ProblemType.PAGE_INCOMPLETE, "Page unavailable", str(missing))
    page = SignInPage(return_to, sign_in.provider_name, error, note)
    headers = {"content-security-policy": POLICY, "cache-control": "no-store"}
    if status == 401:
        headers["www-authenticate"] = no_credential().headers["www-authenticate"]
    content = page.render(template.content.decode())
    return Response(content, status_code=status, headers=headers, media_type="text/html; charset=utf-8")


def _see_other(address: str, *cookies: str) -> Response:
    answer = Response(status_code=303, headers={"location": address, "cache-control": "no-store"})
    for cookie in cookies:
        answer.headers.append("set-cookie", cookie)
    return answer


def _sentence(text: object) -> str:
    words = str(text)
    return words[:1].upper() + words[1:] + ("" if words.endswith((".", "!", ")")) else ".")
