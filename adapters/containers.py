"""Containers of agents on a Docker engine: what is there, make one, remove one.

The one place of the Docker SDK. It blocks, so every call runs on one of a few threads, with a
timeout; nothing here decides which containers there should be. A container is ours by a label that
only holders of the installation's master key can write, so two installations on one engine never
touch each other's.
"""

import asyncio
import hashlib
import hmac
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

import docker
from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from docker.utils import version_lt
from requests.exceptions import RequestException

from adapters.errors import ContainerRefused, ContainersAway
from adapters.settings import Settings
from adapters.shim_states import FoundContainer, Health, container_name

T = TypeVar("T")

AT_ONCE_MAX = 4
TIMEOUT_S = 15
STOP_S = 4
MEMORY = "64m"
PROCESSES_MAX = 32
OWNER_LABEL = "artic.installation"
AGENT_LABEL = "artic.agent"
MADE_AS_LABEL = "artic.made-as"
SECOND_NS = 1_000_000_000

INTERVAL_NS, EVEN_INTERVAL_NS = 30 * SECOND_NS, 8 * SECOND_NS
FIRST_WITH_START_INTERVAL = "1.44"
"""Engines before it (25) leave the interval at the start out: they look evenly, more often."""

HEALTHCHECK = {
    "Test": ["CMD", "python", "-S", "-m", "agent_shim.probe"],
    "Interval": INTERVAL_NS,
    "Timeout": 3 * SECOND_NS,
    "Retries": 3,
    "StartPeriod": 20 * SECOND_NS,
    "StartInterval": SECOND_NS // 2,
}
"""Asked often while it starts, and rarely after: each look is a process of its own. The SDK has no
word for the interval at the start.
"""


class Containers:
    """The engine that DOCKER_HOST names, or the one of this machine."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._threads = ThreadPoolExecutor(AT_ONCE_MAX, thread_name_prefix="docker")
        self._engine: Any = None
        self._owner = _mark(settings, "installation")

    async def aclose(self) -> None:
        """Ends the connections; calls under way are not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self._engine is not None:
            self._engine.close()

    async def found(self) -> list[FoundContainer]:
        """Every container of this installation, running or not.

        Raises ContainersAway, and ContainerRefused where there is no image to make one from.
        """
        return await self._call(self._found)

    async def make(self, agent_id: UUID) -> None:
        """Makes and starts the container of an agent. Raises ContainersAway, ContainerRefused."""
        await self._call(partial(self._make, agent_id))

    async def remove(self, name: str) -> None:
        """Stops and removes a container; one that is gone is no error. Raises ContainersAway."""
        await self._call(partial(self._remove, name))

    async def _call(self, work: Callable[[], T]) -> T:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._threads, work)
        except ImageNotFound:
            message = f"there is no image {self._settings.shim_image}: build or pull it"
            raise ContainerRefused(message) from None
        except APIError as error:
            if error.is_server_error() and error.response is None:
                raise ContainersAway("the Docker engine does not answer") from error
            raise ContainerRefused(f"the Docker engine refuses: {error.explanation}") from error
        except (DockerException, RequestException, OSError) as error:
            raise ContainersAway("the Docker engine does not answer") from error

    def _open(self) -> Any:
        if self._engine is None:
            self._engine = docker.DockerClient.from_env(
                timeout=TIMEOUT_S, max_pool_size=AT_ONCE_MAX
            ).api
        return self._engine

    def _made_as(self) -> str:
        """What containers are made with, as a mark that tells nobody the secret."""
        image = self._open().inspect_image(self._settings.shim_image)["Id"]
        settings = self._settings
        return _mark(settings, image, settings.hub_url, settings.internal_secret)

    def _found(self) -> list[FoundContainer]:
        made_as = self._made_as()
        filters = {"label": f"{OWNER_LABEL}={self._owner}"}
        listed = self._open().containers(all=True, filters=filters)
        return [_read(each, made_as) for each in listed]

    def _make(self, agent_id: UUID) -> None:
        engine, settings = self._open(), self._settings
        name = container_name(agent_id)
        made = engine.create_container_config(
            image=settings.shim_image,
            command=None,
            environment={
                "HUB_URL": settings.hub_url,
                "HUB_AGENT_ID": str(agent_id),
                "INTERNAL_SECRET": settings.internal_secret,
            },
            labels={
                OWNER_LABEL: self._owner,
                AGENT_LABEL: str(agent_id),
                MADE_AS_LABEL: self._made_as(),
            },
            host_config=engine.create_host_config(
                network_mode=settings.shim_network,
                read_only=True,
                cap_drop=["ALL"],
                security_opt=["no-new-privileges:true"],
                mem_limit=MEMORY,
                pids_limit=PROCESSES_MAX,
                restart_policy={"Name": "unless-stopped"},
            ),
        )
        is_old = version_lt(engine.api_version, FIRST_WITH_START_INTERVAL)
        made["Healthcheck"] = HEALTHCHECK | ({"Interval": EVEN_INTERVAL_NS} if is_old else {})
        created = engine.create_container_from_config(made, name)
        try:
            engine.start(created["Id"])
        except APIError:
            engine.remove_container(created["Id"], force=True)
            raise

    def _remove(self, name: str) -> None:
        engine = self._open()
        try:
            engine.stop(name, timeout=STOP_S)
            engine.remove_container(name, force=True)
        except NotFound:
            return


def _read(listed: Mapping[str, Any], made_as: str) -> FoundContainer:
    labels = listed.get("Labels") or {}
    health, detail = _health(listed.get("State", ""), listed.get("Status", ""))
    return FoundContainer(
        name=listed["Names"][0].lstrip("/"),
        agent_id=_agent_id(labels.get(AGENT_LABEL, "")),
        health=health,
        detail=detail,
        is_current=labels.get(MADE_AS_LABEL) == made_as,
    )


def _health(state: str, status: str) -> tuple[Health, str]:
    """From the engine's words, such as "running" and "Up 2 seconds (healthy)"."""
    if state == "running" and "(unhealthy)" not in status:
        return ("healthy" if "(healthy)" in status else "starting"), ""
    if state in ("created", "restarting"):
        return ("failed" if "Restarting (" in status else "starting"), status
    return ("ended" if state in ("exited", "dead") else "failed"), status


def _agent_id(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _mark(settings: Settings, *parts: str) -> str:
    key = settings.master_key.encode()
    return hmac.new(key, "\0".join(parts).encode(), hashlib.sha256).hexdigest()[:32]
