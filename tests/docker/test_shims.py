"""A container of its own for each agent: made, found by its name, kept over a stop, made again
when it is lost, removed with the agent; leftovers go.
"""

import json
import subprocess
from functools import partial
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.agent_shim.lives import AGENT, live
from tests.conftest import wait_for
from tests.docker.engine import OTHER_HUB, POOL_SECRET, SHIM_OWNER, Project, inside, run
from tests.docker.owners import create, logged_in, ticking

HEALTH = """
import http.client, json, sys
connection = http.client.HTTPConnection(sys.argv[1], 8000, timeout=5)
connection.request("GET", "/health")
print(connection.getresponse().read().decode())
"""


async def agent_of(owner: httpx.AsyncClient, agent_id: str) -> dict[str, Any]:
    """The agent as its owner sees it."""
    agent: dict[str, Any] = (await owner.get(f"/api/agents/{agent_id}")).json()
    return agent


def container(name: str) -> dict[str, Any] | None:
    """What the engine knows of a container; None where there is none."""
    shown = subprocess.run(
        ["docker", "container", "inspect", name], check=False, capture_output=True, text=True
    )
    if shown.returncode != 0 and "No such container" in shown.stderr:
        return None
    assert shown.returncode == 0, shown.stderr
    found: list[dict[str, Any]] = json.loads(shown.stdout)
    return found[0]


def is_healthy(name: str, but_not: str = "") -> bool:
    """Whether a container of this name, and another one than before, is healthy."""
    found = container(name)
    return found is not None and found["Id"] != but_not and _health(found) == "healthy"


def _health(found: dict[str, Any]) -> str:
    return str(found["State"].get("Health", {}).get("Status"))


async def test_the_life_of_an_agents_container(
    project: Project, owner_with_shims: httpx.AsyncClient
) -> None:
    owner = owner_with_shims
    agent_id = await create(owner)
    name = f"artic-agent-{agent_id}"
    await wait_for(partial(is_healthy, name), seconds=60, what="its container is healthy")

    async def runs() -> bool:
        return bool((await agent_of(owner, agent_id))["status"] == "running")

    await wait_for(runs, seconds=30)
    assert inside(project.network, HEALTH, name) == {"ok": True, "running": True}

    before = container(name)
    assert before is not None
    host = before["HostConfig"]
    assert host["ReadonlyRootfs"] and host["CapDrop"] == ["ALL"] and host["Memory"] == 64 * 2**20
    assert before["Config"]["User"] == "65532:65532" and not host["Binds"]

    assert (await owner.post(f"/api/agents/{agent_id}/stop")).json()["status"] == "stopped"
    assert inside(project.network, HEALTH, name) == {"ok": True, "running": False}
    await owner.post(f"/api/agents/{agent_id}/start")

    run("docker", "rm", "-f", name)
    ticks = (await ticking(owner, agent_id))["ticks"]
    await wait_for(partial(is_healthy, name, before["Id"]), seconds=60, what="it is made again")
    await ticking(owner, agent_id, ticks + 1)

    assert (await owner.delete(f"/api/agents/{agent_id}")).status_code == 204
    await wait_for(lambda: container(name) is None, seconds=30, what="it goes with its agent")


async def test_leftovers_are_found_by_their_label(
    project: Project, owner_with_shims: httpx.AsyncClient
) -> None:
    agent_id = await create(owner_with_shims)
    name = f"artic-agent-{agent_id}"
    await wait_for(partial(is_healthy, name), seconds=60)
    own = container(name)
    assert own is not None
    gone = uuid4()
    labels = own["Config"]["Labels"] | {"artic.agent": str(gone)}
    marks = [word for key, value in labels.items() for word in ("--label", f"{key}={value}")]
    stranger = f"stranger-{gone}"
    for left, some in ((f"artic-agent-{gone}", marks), (stranger, marks[:0])):
        run(
            "docker", "run", "-d", "--name", left, *some, "--network", project.network,
            "--entrypoint", "sleep", "artic-shim", "600",
        )  # fmt: skip
    await wait_for(lambda: container(f"artic-agent-{gone}") is None, seconds=30)
    assert container(stranger) is not None, "a container of somebody else stays"
    run("docker", "rm", "-f", stranger)


async def test_a_life_at_the_endpoint_of_another_hubs_agent(
    project: Project, owner_with_shims: httpx.AsyncClient
) -> None:
    outside = uuid4()
    name = f"artic-agent-{outside}"
    told = {
        "HUB_URL": OTHER_HUB,
        "HUB_AGENT_ID": str(outside),
        "INTERNAL_SECRET": "the secret over there",
        "SYMBOL": "BTC/USDT",
        "POOL_URL": "http://hub:9000",
        "POOL_SECRET": POOL_SECRET,
    }
    marks = [word for key, value in told.items() for word in ("--env", f"{key}={value}")]
    async with logged_in(project, SHIM_OWNER) as owner:
        run(
            "docker", "run", "-d", "--name", name, "--network", project.network, "--read-only",
            "--cap-drop", "ALL", "--memory", "64m", *marks, "artic-shim",
        )  # fmt: skip
        try:
            found = container(name)
            assert found is not None
            address = found["NetworkSettings"]["Networks"][project.network]["IPAddress"]
            async with httpx.AsyncClient(
                base_url=f"http://{address}:8000", headers={"Host": f"{name}:8000"}, timeout=10
            ) as endpoint:

                async def ready() -> bool:
                    try:
                        return (await endpoint.get("/health")).status_code == 200
                    except httpx.TransportError:
                        return False

                async def seen() -> dict[str, Any]:
                    [agent] = (await owner.get("/api/agents")).json()
                    return dict(agent)

                await wait_for(ready, seconds=20, what="it answers")
                await live(endpoint, seen)
                agent_id = (await seen())["id"]
                assert container(f"artic-agent-{agent_id}") is None, "it has one over there"
                await owner.delete(f"/api/agents/{agent_id}")
        finally:
            run("docker", "rm", "-f", name)


@pytest.mark.parametrize("where", ["gateway", "container"])
async def test_a_life_at_the_endpoint(
    project: Project, owner_with_shims: httpx.AsyncClient, where: str
) -> None:
    owner = owner_with_shims
    agent_id = (await owner.post("/api/agents", json=AGENT)).json()["id"]
    name = f"artic-agent-{agent_id}"
    await wait_for(partial(is_healthy, name), seconds=60)
    address = project.shim_url
    if where == "container":
        found = container(name)
        assert found is not None
        address = (
            f"http://{found['NetworkSettings']['Networks'][project.network]['IPAddress']}:8000"
        )
    async with httpx.AsyncClient(
        base_url=address, headers={"Host": f"{name}:8000"}, timeout=10
    ) as endpoint:
        await live(endpoint, partial(agent_of, owner, agent_id))
