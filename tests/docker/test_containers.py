"""The engine's words as the hub hears them: what is missing and who is away."""

from dataclasses import replace
from uuid import uuid4

import pytest

from adapters.containers import Containers
from adapters.errors import ContainerRefused, ContainersAway
from adapters.settings import Settings


async def test_an_image_that_is_not_there(images: float, settings: Settings) -> None:
    containers = Containers(replace(settings, shim_image="no-such-image-anywhere"))
    with pytest.raises(ContainerRefused, match="no image no-such-image-anywhere"):
        await containers.found()
    await containers.aclose()


async def test_a_network_that_is_not_there(images: float, settings: Settings) -> None:
    containers = Containers(replace(settings, shim_network="no-such-network"))
    with pytest.raises(ContainerRefused, match="no-such-network"):
        await containers.make(uuid4())
    assert await containers.found() == [], "nothing half made stays"
    await containers.aclose()


async def test_no_engine(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    containers = Containers(settings)
    with pytest.raises(ContainersAway):
        await containers.found()
    await containers.aclose()
