"""One Compose project of the product on the engine of the tests.

Every project has its own name, its own secrets and its own ports; `down` leaves nothing of it.
docker-compose costs a second of CPU for each word, so it starts and scales; the rest is asked of
the engine, by the labels that Compose gives.
"""

import os
import socket
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.docker.engine import ROOT, compose_command, run

OF_TESTS = ("compose.yaml", "tests/docker/compose.network.yaml")
WEIGHT = "tests/docker/compose.weight.yaml"
REMOVE_TRIES = 20
OTHER_HUB = "http://old-hub:9000"
POOL_SECRET = "pool-of-the-tests"
SHIM_OWNER = "other-hubs@example.com"


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


@dataclass
class Project:
    """One Compose project: compose.yaml, the overrides of the tests, and others if named."""

    name: str
    folder: Path
    files: tuple[str, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    hub_port: int = field(default_factory=free_port)
    shim_port: int = field(default_factory=free_port)
    is_up: bool = False

    def __post_init__(self) -> None:
        self._secrets = self.folder / f"{self.name}.env"
        run("deploy/make-env.sh", str(self._secrets))
        self._command = compose_command() or []
        driver = run("docker", "info", "--format", "{{.CgroupDriver}}").strip()
        self._files = (*OF_TESTS, WEIGHT) if driver == "cgroupfs" else OF_TESTS

    @property
    def hub_url(self) -> str:
        return f"http://127.0.0.1:{self.hub_port}"

    @property
    def shim_url(self) -> str:
        return f"http://127.0.0.1:{self.shim_port}"

    @property
    def network(self) -> str:
        """The network of its agents' containers."""
        return f"{self.name}-agents"

    def compose(self, *words: str) -> str:
        """Runs docker compose on this project."""
        named = [word for name in (*self._files, *self.files) for word in ("-f", str(ROOT / name))]
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

    def up(self) -> None:
        """Starts it, unless it runs already as it should."""
        if not self.is_up:
            self.compose("up", "-d")
            self.is_up = True

    def with_shims(self) -> None:
        """From its next `up` on, the hub makes a container for each agent, and takes agents of
        another hub.
        """
        if self.files:
            return
        self.is_up = False
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

    def containers(self, service: str = "") -> list[str]:
        """The whole ids of its containers, running ones of one service or all there are."""
        of = [f"label=com.docker.compose.project={self.name}"]
        of += [f"label=com.docker.compose.service={service}"] if service else []
        marks = [word for each in of for word in ("--filter", each)]
        return run("docker", "ps", "-q" if service else "-aq", "--no-trunc", *marks).split()

    def ask(self, service: str, *words: str) -> str:
        """What a command says in the first container of a service."""
        return run("docker", "exec", self.containers(service)[0], *words)

    def redis(self, *lines: str) -> str:
        """What Redis answers."""
        said = "; ".join(f"redis-cli --raw {line}" for line in lines)
        return self.ask("redis", "sh", "-c", f"export REDISCLI_AUTH=$REDIS_PASSWORD; {said}")

    def told(self, lines: int = 60) -> str:
        """What each of its containers said last, for whoever looks for a reason."""
        shown = ["docker", "ps", "-a", "--format", "{{.Names}} {{.Status}}"]
        said = [subprocess.run(shown, check=False, capture_output=True, text=True).stdout]
        for each in self.containers():
            logs = ["docker", "logs", "--tail", str(lines), each]
            done = subprocess.run(
                logs, check=False, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            )
            said.append(f"--- {each[:12]}\n{done.stdout}")
        return "\n".join(said)

    def down(self) -> None:
        """Ends it with everything that it kept, and the containers of its agents."""
        _remove(self.containers("hub"))  # it would make them again
        # the engine may be making or removing some right now
        for _ in range(REMOVE_TRIES):
            left = self.containers() + self._of_agents()
            if not left:
                break
            _remove(left)
        for kind in ("network", "volume"):
            mark = f"label=com.docker.compose.project={self.name}"
            for each in run("docker", kind, "ls", "-q", "--filter", mark).split():
                run("docker", kind, "rm", each)

    def _of_agents(self) -> list[str]:
        joined = ["docker", "ps", "-aq", "--no-trunc", "--filter", f"network={self.network}"]
        return run(*joined).split() if self.files else []


def _remove(containers: list[str]) -> None:
    if containers:
        remove = ["docker", "rm", "--force", "--volumes", *containers]
        subprocess.run(remove, check=False, capture_output=True)
