"""`make bench-shims`: what a container for each agent costs. Memory of 50, the time from the start
to the first answer, and what the way through it adds to a call. Needs a Docker engine and the
image artic-shim; the hub behind is one that answers at once.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import time
from dataclasses import dataclass, replace
from uuid import UUID, uuid4

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from adapters.containers import Containers
from adapters.settings import Settings, load_settings
from adapters.shim_states import container_name
from bench.machine import cpu_seconds, memory

NETWORK = "artic-bench-shims"
CALLS = 400
ANSWER_S = 30.0


@dataclass(frozen=True, slots=True)
class Made:
    """One container: seconds in the engine, then until its first answer; bytes of its process."""

    made_s: float
    answered_s: float
    address: str
    pid: int


def docker(*words: str) -> str:
    """Runs the docker command."""
    done = subprocess.run(["docker", *words], check=True, capture_output=True, text=True)
    return done.stdout.strip()


async def health(request: Request) -> JSONResponse:
    """What the hub says of every agent."""
    return JSONResponse({"ok": True, "running": True})


async def make(containers: Containers, agent_id: UUID) -> Made:
    """Makes one and waits for its first answer to GET /health."""
    began = time.perf_counter()
    await containers.make(agent_id)
    made = time.perf_counter()
    shown = json.loads(await asyncio.to_thread(docker, "inspect", container_name(agent_id)))[0]
    address = shown["NetworkSettings"]["Networks"][NETWORK]["IPAddress"]
    headers = {"Host": f"{container_name(agent_id)}:8000"}
    async with httpx.AsyncClient(base_url=f"http://{address}:8000", headers=headers) as client:
        while True:
            try:
                answer = await client.get("/health")
                if answer.status_code == 200:
                    break
            except httpx.TransportError:
                pass
            if time.perf_counter() - made > ANSWER_S:
                raise SystemExit(f"{container_name(agent_id)} does not answer")
            await asyncio.sleep(0.005)
    return Made(made - began, time.perf_counter() - made, address, shown["State"]["Pid"])


async def latency(hub: str, secret: str, made: Made, agent_id: UUID) -> tuple[float, float]:
    """Median milliseconds of a call straight to the hub, and of one through the container."""
    straight: list[float] = []
    through: list[float] = []
    path = f"/internal/agents/{agent_id}/endpoint/health"
    async with (
        httpx.AsyncClient(base_url=hub, headers={"X-Internal-Secret": secret}) as direct,
        httpx.AsyncClient(
            base_url=f"http://{made.address}:8000",
            headers={"Host": f"{container_name(agent_id)}:8000"},
        ) as caller,
    ):
        for _ in range(CALLS):
            for client, where, spent in (
                (direct, path, straight),
                (caller, "/health", through),
            ):
                began = time.perf_counter()
                (await client.get(where)).raise_for_status()
                spent.append((time.perf_counter() - began) * 1000)
    return statistics.median(straight), statistics.median(through)


def settings_of(gateway: str, port: int) -> Settings:
    """Settings of a hub at the network's gateway."""
    told = {
        "ARTIC_INTERNAL_SECRET": "bench-" * 4,
        "ARTIC_MASTER_KEY": "A" * 43,
        "ARTIC_HUB_URL": f"http://{gateway}:{port}",
        "ARTIC_ENV_FILE": "",
    }
    return replace(load_settings(told, needs=()), shim_network=NETWORK)


async def measure(count: int) -> None:
    """Prints the table's figures."""
    gateway = json.loads(docker("network", "inspect", NETWORK))[0]["IPAM"]["Config"][0]["Gateway"]
    app = Starlette(routes=[Route("/internal/agents/{agent_id}/endpoint/health", health)])
    server = uvicorn.Server(uvicorn.Config(app, host=gateway, port=0, log_level="warning"))
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    settings = settings_of(gateway, port)
    containers = Containers(settings)
    ids = [uuid4() for _ in range(count)]
    try:
        made = [await make(containers, agent_id) for agent_id in ids]
        used = [memory([each.pid]) for each in made]
        cpu_before = cpu_seconds([made[0].pid])
        straight, through = await latency(
            settings.hub_url, settings.internal_secret, made[0], ids[0]
        )
        cpu_ms = (cpu_seconds([made[0].pid]) - cpu_before) * 1000 / CALLS
    finally:
        for found in await containers.found():
            await containers.remove(found.name)
        await containers.aclose()
        server.should_exit = True
        await serving
    answered = sorted(each.answered_s for each in made)
    print(f"containers                      {count}")
    print(f"create and start, median        {statistics.median(e.made_s for e in made):.2f} s")
    print(f"start to first /health, median  {statistics.median(answered):.2f} s")
    print(f"the same, slowest               {answered[-1]:.2f} s")
    print(f"resident memory of each, most   {max(each.rss for each in used) / 1e6:.1f} MB")
    print(f"of each its own (PSS), median   {statistics.median(e.pss for e in used) / 1e6:.1f} MB")
    print(f"call to the hub, p50            {straight:.2f} ms")
    print(f"through the container, p50      {through:.2f} ms (adds {through - straight:.2f} ms)")
    print(f"CPU of the container for a call {cpu_ms:.2f} ms")


def main() -> None:
    """Makes the network, measures, removes everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--containers", type=int, default=50)
    count = parser.parse_args().containers
    docker("network", "create", NETWORK)
    try:
        asyncio.run(measure(count))
    finally:
        docker("network", "rm", NETWORK)


if __name__ == "__main__":
    main()
