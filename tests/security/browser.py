"""A browser without a screen."""

from __future__ import annotations

import asyncio
from http.cookies import SimpleCookie
from typing import Any, Final

import httpx
from fastapi import FastAPI

OWN: Final = {"origin": "http://localhost", "sec-fetch-site": "same-origin"}


class Page:
    """A browser without a screen: it keeps cookies, and follows no redirect."""

    def __init__(self, app: FastAPI, url: str = "http://localhost") -> None:
        self.app = app
        self.url = url
        self.cookies: dict[str, str] = {}

    def call(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Return the answer to a request with the kept cookies, and keep those that it sets."""

        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url=self.url, cookies=self.cookies) as client:
                return await client.request(method, path, **more)

        answer = asyncio.run(send())
        for header in answer.headers.get_list("set-cookie"):
            for name, morsel in SimpleCookie(header).items():
                if morsel["max-age"] == "0":
                    self.cookies.pop(name, None)
                else:
                    self.cookies[name] = morsel.value
        return answer

    def sign_in(self, key: str, **fields: str) -> httpx.Response:
        return self.call("POST", "/signin", data={"key": key, **fields}, headers=OWN)

    def me(self) -> Any:
        answer = self.call("GET", "/api/v1/whoami")
        return answer.json() if answer.status_code == 200 else answer.status_code
