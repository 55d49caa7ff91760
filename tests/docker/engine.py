"""A Docker engine for tests, found or brought up, and the images built from this working copy."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from tests.conftest import wait_for

ROOT = Path(__file__).resolve().parents[2]
ENGINE = Path(
    os.environ.get("ARTIC_DOCKER_ENGINE") or ROOT.parent / "shared" / "docker" / "engine.sh"
)
"""`ENGINE up` starts an engine and makes base images, where none answers and this script exists."""
START_S = float(os.environ.get("ARTIC_DOCKER_START_S") or 150)
"""How long that may take: installing an engine first takes minutes, which not everybody has."""
BASES = ("python:3.11-slim", "redis:7", "postgres:16")
PULL_S = 120
BUILD_S = 600
NO_PACKAGES = "No matching distribution found for"
"""What pip says at last when no index can be reached, or has none."""
COMMAND_S = 300
PATIENCE_S = 60.0
"""How long anything is waited for: a machine that has much else to do needs it."""
ASK_EVERY_S = 0.1
"""An engine that is asked without a rest has no time for what is waited for."""


class NoEngine(Exception):
    """There is no Docker engine to be had; the text is what was tried, with its log."""


def run(*words: str, seconds: float = COMMAND_S, env: Mapping[str, str] | None = None) -> str:
    """Runs a command and returns what it said; its whole output is in the failure."""
    done = subprocess.run(
        words, check=False, cwd=ROOT, env=env, timeout=seconds, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert done.returncode == 0, f"{' '.join(words)} failed:\n{done.stdout[-6000:]}"
    return done.stdout


async def eventually(check: Callable[[], Awaitable[object] | object], what: str) -> None:
    """Waits with patience until the answer is true."""
    await wait_for(check, seconds=PATIENCE_S, what=what, every_s=ASK_EVERY_S)


def slowness() -> float:
    """How many times longer than alone something may take here: processes for each core that
    want to run, at least 1.
    """
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def bring_up() -> bool:
    """Sees to it that an engine answers and has the base images; whether it was started for that.

    Raises NoEngine.
    """
    answered = _answers()
    if answered and not _missing() and compose_command() is not None:
        return False
    if ENGINE.exists():
        said = _tried(["bash", str(ENGINE), "up"], START_S)
        if said is not None:
            raise NoEngine(f"{ENGINE.name} up {said}")
    if not _answers():
        raise NoEngine("no Docker engine answers `docker info`")
    for image in _missing():
        said = _tried(["docker", "pull", "--quiet", image], PULL_S)
        if said is not None:
            raise NoEngine(f"the engine has no {image}, and docker pull {said}")
    if compose_command() is None:
        raise NoEngine("neither `docker compose` nor docker-compose is here")
    return not answered


def compose_command() -> list[str] | None:
    """`docker compose` where the plugin is, else docker-compose; None where neither is."""
    for words in (["docker", "compose"], ["docker-compose"]):
        if _tried([*words, "version"], 30) is None:
            return words
    return None


def take_down() -> None:
    """Ends the engine that `bring_up` has started."""
    run("bash", str(ENGINE), "down")


def _answers() -> bool:
    if shutil.which("docker") is None:
        return False
    return _tried(["docker", "info"], 30) is None


def _missing() -> list[str]:
    return [image for image in BASES if _tried(["docker", "image", "inspect", image], 30)]


def _tried(words: list[str], seconds: float) -> str | None:
    """None after a success, else how it ended and the end of what it said."""
    with tempfile.TemporaryFile("w+") as log:
        try:
            # a session of its own, so that all of it ends when its time is up
            tried = subprocess.Popen(words, stdout=log, stderr=log, start_new_session=True)
        except OSError as error:
            return f"could not be run: {error}"
        try:
            status = tried.wait(seconds)
            came = f"ended with {status}"
        except subprocess.TimeoutExpired:
            status, came = 1, f"took longer than {seconds:g} s"
            os.killpg(tried.pid, signal.SIGKILL)
            tried.wait()
        log.seek(0)
        return f"{came}:\n{log.read()[-4000:]}" if status else None


def build_images() -> float:
    """Builds both images as this working copy has them; the seconds it took.

    Raises NoEngine where builds can't reach the package index.
    """
    began = time.monotonic()
    for name, dockerfile in (("artic", "Dockerfile"), ("artic-shim", "shim.Dockerfile")):
        said = _tried(
            ["docker", "build", "--network", "host", "--quiet", "--tag", name,
             "--file", str(ROOT / "deploy" / dockerfile), str(ROOT)],
            BUILD_S,
        )  # fmt: skip
        if said is not None and NO_PACKAGES in said:
            raise NoEngine(f"builds on this engine get no packages; docker build {said}")
        assert said is None, f"docker build of {name} {said}"
    return time.monotonic() - began


def inside(network: str, code: str, *arguments: str) -> Any:
    """Runs Python in a container of the agent endpoint's image on a network, and returns the
    JSON that it printed.
    """
    said = run(
        "docker", "run", "--rm", "--network", network, "--entrypoint", "python", "artic-shim",
        "-c", code, *arguments,
    )  # fmt: skip
    return json.loads(said)


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


def is_healthy(name: str) -> bool:
    """Whether the engine calls it healthy."""
    found = container(name)
    return found is not None and found["State"].get("Health", {}).get("Status") == "healthy"
