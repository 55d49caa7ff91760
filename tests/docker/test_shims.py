"""A container of its own for each agent: made, found by its name, kept over a stop, made again
when it is lost, removed with the agent; leftovers go.
"""

from functools import partial
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.agent_shim.lives import AGENT, live
from tests.docker.engine import container, eventually, inside, is_healthy, run
from tests.docker.owners import ANSWER_S, create, logged_in, ticking
from tests.docker.project import OTHER_HUB, POOL_SECRET, SHIM_OWNER, Project

HEALTH = """
import http.client, json, sys
connection = http.client.HTTPConnection(sys.argv[1], 8000, timeout=30)
connection.request("GET", "/health")
print(connection.getresponse().read().decode())
"""


async def agent_of(owner: httpx.AsyncClient, agent_id: str) -> dict[str, Any]:
    """The agent as its owner sees it."""
    agent: dict[str, Any] = (await owner.get(f"/api/agents/{agent_id}")).json()
    return agent


async def has_status(owner: httpx.AsyncClient, agent_id: str, word: str) -> bool:
    """Whether its owner sees this status word."""
    return bool((await agent_of(owner, agent_id))["status"] == word)


def address_of(name: str, network: str) -> str | None:
    """Where it listens, on the network of the agents; None while it does not run."""
    found = container(name)
    joined = {} if found is None else found["NetworkSettings"]["Networks"]
    address = joined.get(network, {}).get("IPAddress")
    return f"http://{address}:8000" if address else None


async def answers(name: str, network: str, but_not: str = "") -> bool:
    """Whether a container of this name, and another one than before, answers."""
    found, address = container(name), address_of(name, network)
    if found is None or address is None or found["Id"] == but_not:
        return False
    try:
        async with httpx.AsyncClient(base_url=address, headers={"Host": f"{name}:8000"}) as client:
            return (await client.get("/health")).status_code == 200
    except httpx.TransportError:
        return False


async def test_the_life_of_an_agents_container(
    project: Project, owner_with_shims: httpx.AsyncClient
) -> None:
    owner = owner_with_shims
    agent_id = await create(owner)
    name = f"artic-agent-{agent_id}"
    assert await has_status(owner, agent_id, "creating"), "its container is not there yet"
    await eventually(partial(is_healthy, name), "its container is healthy")
    await eventually(partial(has_status, owner, agent_id, "running"), "its owner sees it run")
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
    await eventually(partial(answers, name, project.network, before["Id"]), "it is made again")
    await ticking(owner, agent_id, ticks + 1)

    assert (await owner.delete(f"/api/agents/{agent_id}")).status_code == 204
    await eventually(lambda: container(name) is None, "it goes with its agent")


async def test_leftovers_are_found_by_their_label(
    project: Project, owner_with_shims: httpx.AsyncClient
) -> None:
    agent_id = await create(owner_with_shims)
    name = f"artic-agent-{agent_id}"
    await eventually(lambda: container(name) is not None, "it has a container")
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
    await eventually(lambda: container(f"artic-agent-{gone}") is None, "the leftover goes")
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
            await eventually(partial(answers, name, project.network), "it answers")
            address = address_of(name, project.network)
            assert address is not None
            async with httpx.AsyncClient(
                base_url=address, headers={"Host": f"{name}:8000"}, timeout=ANSWER_S
            ) as endpoint:

                async def seen() -> dict[str, Any]:
                    [agent] = (await owner.get("/api/agents")).json()
                    return dict(agent)

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
    address: str | None = project.shim_url
    if where == "container":
        await eventually(partial(answers, name, project.network), "its container answers")
        address = address_of(name, project.network)
    assert address is not None
    async with httpx.AsyncClient(
        base_url=address, headers={"Host": f"{name}:8000"}, timeout=ANSWER_S
    ) as endpoint:
        await live(endpoint, partial(agent_of, owner, agent_id))
    await owner.delete(f"/api/agents/{agent_id}")
