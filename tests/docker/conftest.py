"""The engine, the images and one running project for all tests with Docker. They skip only where
no engine can be had, and say why.
"""

import os
import tempfile
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path

import httpx
import pytest

from tests.docker.engine import NoEngine, bring_up, build_images, take_down
from tests.docker.owners import logged_in
from tests.docker.project import Project

TEST_S = 1_200


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.docker)
            item.add_marker(pytest.mark.timeout(TEST_S))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What the containers said belongs to a failure: nobody can look later."""
    report = yield
    project = getattr(item, "funcargs", {}).get("project")
    if report.failed and isinstance(project, Project):
        report.sections.append(("what the containers said", project.told()))
    return report


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
    if not ran and not skipped:
        return
    terminalreporter.section("Docker")
    terminalreporter.line(f"docker tests: {len(ran)} ran")
    if skipped:
        reason = str(skipped[0].longrepr[2]).removeprefix("Skipped: ")
        terminalreporter.line(f"docker tests skipped: {len(skipped)}, {reason}", red=True)


@pytest.fixture(scope="session")
def images() -> Iterator[float]:
    """Both images, built from this working copy; the seconds it took."""
    try:
        started = bring_up()
        seconds = build_images()
    except NoEngine as error:
        pytest.skip(str(error))
    print(f"\nimages built in {seconds:.1f} s")
    yield seconds
    if started:
        take_down()


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
    project.up()
    async with logged_in(project) as client:
        yield client


@pytest.fixture
async def owner_with_shims(project: Project) -> AsyncIterator[httpx.AsyncClient]:
    """The same with a container for each agent."""
    project.with_shims()
    project.up()
    async with logged_in(project) as client:
        yield client
