"""The agent endpoint and its hub inside one process: httpx on both sides, no socket between."""

from collections.abc import Mapping

import httpx

from agent_shim.app import AgentEndpoint
from agent_shim.calls import BODY_BYTES_MAX, Call
from agent_shim.network import Heard, NotReachable, TooMany, TooSlow


class EndpointTransport(httpx.AsyncBaseTransport):
    """Brings an httpx client's requests to the endpoint, as its server would."""

    def __init__(self, endpoint: AgentEndpoint) -> None:
        self._endpoint = endpoint

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        body = await request.aread()
        path, _, query = request.url.raw_path.decode("latin-1").partition("?")
        call = Call(
            request.method,
            path,
            query,
            [(name.lower(), value) for name, value in request.headers.raw],
            None if len(body) > BODY_BYTES_MAX else body,
        )
        reply = await self._endpoint.answer(call)
        headers = {"content-type": "application/json", **reply.headers}
        content = b"" if request.method == "HEAD" else reply.body
        return httpx.Response(reply.status, headers=headers, content=content)


class TransportNetwork:
    """The way to a hub that lives in this process."""

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        self._http = httpx.AsyncClient(transport=transport, base_url="http://hub:9000")

    async def ask(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Heard:
        try:
            answer = await self._http.request(method, target, headers=headers, content=body)
        except httpx.PoolTimeout as error:
            raise TooMany from error
        except (httpx.ReadTimeout, httpx.WriteTimeout) as error:
            raise TooSlow from error
        except httpx.TransportError as error:
            raise NotReachable from error
        names = {name.lower(): value for name, value in answer.headers.items()}
        return Heard(answer.status_code, names, answer.content)

    async def aclose(self) -> None:
        await self._http.aclose()
