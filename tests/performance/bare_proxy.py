"""The least that a Python gateway can do: aiohttp in, aiohttp out, nothing between.  What the gateway is compared with."""

import argparse

import aiohttp
import uvloop
from aiohttp import web

PASSED_ON = {"content-type"}


def build(target):
    async def forward(request):
        body = await request.read()
        async with request.app["session"].post(
            target + request.path, data=body, headers={"content-type": "application/json"}
        ) as answer:
            content = await answer.read()
            kept = {name: value for name, value in answer.headers.items() if name.lower() in PASSED_ON}
            return web.Response(status=answer.status, body=content, headers=kept)

    async def session(app):
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(
            connector=connector, skip_auto_headers=("user-agent", "accept-encoding")
        ) as app["session"]:
            yield

    app = web.Application(client_max_size=32 * 1024 * 1024)
    app.cleanup_ctx.append(session)
    app.router.add_route("*", "/{path:.*}", forward)
    return app


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--target", required=True)
    arguments = parser.parse_args()
    uvloop.install()
    web.run_app(build(arguments.target), host="127.0.0.1", port=arguments.port, access_log=None, print=None)
