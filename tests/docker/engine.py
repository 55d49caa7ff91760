"""A Docker engine for tests, and one Compose project of the product in it.

Every project has its own name, its own secrets and its own ports; `down -v` leaves nothing of it.
"""

import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
ENGINE = Path(
    os.environ.get("ARTIC_DOCKER_ENGINE") or ROOT.parent / "shared" / "docker" / "engine.sh"
)
"""`ENGINE up` starts an engine and makes base images, where none answers and this script exists."""
START_S = float(os.environ.get("ARTIC_DOCKER_START_S") or 150)
"""How long that may take: installing an engine first takes minutes, which not everybody has."""
BUILD_S = 600
COMMAND_S = 180
REMOVE_TRIES = 20
OTHER_HUB = "http://old-hub:9000"
POOL_SECRET = "pool-of-the-tests"
SHIM_OWNER = "other-hubs@example.com"


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


def bring_up() -> None:
    """Sees to it that an engine answers. Raises NoEngine."""
    if answers():
        return
    if not ENGINE.exists():
        raise NoEngine("no Docker engine answers `docker info`")
    with tempfile.TemporaryFile("w+") as said:
        try:
            tried = subprocess.run(
                [ENGINE, "up"], check=False, timeout=START_S, stdout=said, stderr=said
            )
            came = f"ended with {tried.returncode}"
        except subprocess.TimeoutExpired:
            came = f"took longer than {START_S:g} s"
        except OSError as error:
            came = f"could not be run: {error}"
        said.seek(0)
        if not came.endswith(" 0") or not answers():
            raise NoEngine(f"{ENGINE.name} up {came}:\n{said.read()[-4000:]}")


def answers() -> bool:
    """Whether a Docker engine answers here."""
    if shutil.which("docker") is None:
        return False
    asked = subprocess.run(["docker", "info"], check=False, capture_output=True, timeout=30)
    return asked.returncode == 0


def build_images() -> float:
    """Builds both images as this working copy has them; the seconds it took."""
    began = time.monotonic()
    for name, dockerfile in (("artic", "Dockerfile"), ("artic-shim", "shim.Dockerfile")):
        run(
            "docker", "build", "--network", "host", "--quiet", "--tag", name,
            "--file", f"deploy/{dockerfile}", ".", seconds=BUILD_S,
        )  # fmt: skip
    return time.monotonic() - began


def compose_command() -> list[str]:
    """`docker compose` where the plugin is, else docker-compose."""
    plugin = subprocess.run(["docker", "compose", "version"], check=False, capture_output=True)
    return ["docker", "compose"] if plugin.returncode == 0 else ["docker-compose"]


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


@dataclass
class Project:
    """One Compose project: compose.yaml, the override of the tests, and others if named."""

    name: str
    folder: Path
    files: tuple[str, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    hub_port: int = field(default_factory=free_port)
    shim_port: int = field(default_factory=free_port)

    def __post_init__(self) -> None:
        self._secrets = self.folder / f"{self.name}.env"
        run("deploy/make-env.sh", str(self._secrets))
        self._command = compose_command()

    @property
    def hub_url(self) -> str:
        return f"http://127.0.0.1:{self.hub_port}"

    @property
    def shim_url(self) -> str:
        return f"http://127.0.0.1:{self.shim_port}"

    def compose(self, *words: str) -> str:
        """Runs docker compose on this project."""
        files = ("compose.yaml", "tests/docker/compose.network.yaml", *self.files)
        named = [word for name in files for word in ("--file", str(ROOT / name))]
        told = {
            **os.environ,
            "ARTIC_SOURCE": str(ROOT),
            "ARTIC_HUB_PORT": str(self.hub_port),
            "ARTIC_SHIM_PORT": str(self.shim_port),
            "ARTIC_PRICE_SOURCE": "simulated",
            **self.settings,
        }
        options = ["--project-name", self.name, "--env-file", str(self._secrets)]
        return run(*self._command, *named, *options, *words, env=told)

    @property
    def network(self) -> str:
        """The network of its agents' containers."""
        return f"{self.name}-agents"

    def with_shims(self) -> None:
        """From its next `up` on, the hub makes a container for each agent, and takes agents of
        another hub.
        """
        self.files = ("compose.shims.yaml",)
        self.settings = {
            "ARTIC_SHIM_NETWORK": self.network,
            "DOCKER_GID": str(Path("/var/run/docker.sock").stat().st_gid),
            "ARTIC_POOL_SECRET": POOL_SECRET,
            "ARTIC_SHIM_OWNER": SHIM_OWNER,
            "ARTIC_CALLBACK_HUBS": OTHER_HUB,
        }

    def scale(self, workers: int) -> None:
        """So many workers, and nothing else is touched."""
        self.compose("up", "-d", "--no-recreate", "--scale", f"worker={workers}")

    def down(self) -> None:
        """Ends it with everything that it kept, and the containers of its agents."""
        if self.files:
            self.compose("stop", "hub")  # it would make them again
            # the engine may be making or removing some right now
            for _ in range(REMOVE_TRIES):
                left = self._of_agents()
                if not left:
                    break
                subprocess.run(["docker", "rm", "-f", *left], check=False, capture_output=True)
        self.compose("down", "--volumes", "--remove-orphans", "--timeout", "1")

    def _of_agents(self) -> list[str]:
        shown = "{{range $id, $_ := .Containers}}{{$id}} {{end}}"
        joined = run("docker", "network", "inspect", "--format", shown, self.network).split()
        joined += run(
            "docker", "ps", "-aq", "--no-trunc", "--filter", f"network={self.network}"
        ).split()
        services = self.compose("ps", "-a", "-q").split()
        return [each for each in joined if each not in services]

    def running(self, service: str) -> int:
        """How many containers of a service run."""
        return len(self.compose("ps", "-q", service).split())


def inside(network: str, code: str, *arguments: str) -> Any:
    """Runs Python in a container of the agent endpoint's image on a network, and returns the
    JSON that it printed.
    """
    said = run(
        "docker", "run", "--rm", "--network", network, "--entrypoint", "python", "artic-shim",
        "-c", code, *arguments,
    )  # fmt: skip
    return json.loads(said)
