"""The engine, the images and one running project for all tests with Docker. They skip only where
no engine can be had, and say why.
"""

import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from tests.docker.engine import NoEngine, Project, bring_up, build_images
from tests.docker.owners import logged_in


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.docker)
            item.add_marker(pytest.mark.timeout(600))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How many ran. Where none did that must not pass unseen."""
    stats = terminalreporter.stats
    ran = [
        each
        for word in ("passed", "failed")
        for each in stats.get(word, ())
        if each.when == "call" and "tests/docker/" in each.nodeid
    ]
    skipped = [each for each in stats.get("skipped", ()) if "tests/docker/" in each.nodeid]
    if ran or skipped:
        terminalreporter.section("Docker")
        terminalreporter.line(f"{len(ran)} tests with a Docker engine ran, {len(skipped)} did not")
    if skipped:
        terminalreporter.line(str(skipped[0].longrepr[2]), red=True)


@pytest.fixture(scope="session")
def images() -> float:
    """Both images, built from this working copy; the seconds it took."""
    try:
        bring_up()
    except NoEngine as error:
        pytest.skip(str(error))
    seconds = build_images()
    print(f"\nimages built in {seconds:.1f} s")
    return seconds


@pytest.fixture(scope="session")
def project(images: float) -> Iterator[Project]:
    """The whole platform as compose.yaml has it, not yet up."""
    # a folder of its own: pytest removes those of a long run when others have begun since
    with tempfile.TemporaryDirectory(prefix="artic-compose-") as folder:
        found = Project(f"artic-test-{os.getpid()}", Path(folder))
        try:
            yield found
        finally:
            found.down()


@pytest.fixture
async def owner(project: Project) -> AsyncIterator[httpx.AsyncClient]:
    """An account at the hub of the project, which is up."""
    project.compose("up", "-d")
    async with logged_in(project) as client:
        yield client


@pytest.fixture
async def owner_with_shims(project: Project) -> AsyncIterator[httpx.AsyncClient]:
    """The same with a container for each agent."""
    project.with_shims()
    project.compose("up", "-d")
    async with logged_in(project) as client:
        yield client
