"""What watches the pool asks for what the hub answers: paths, credentials, names of metrics."""

import re
from pathlib import Path
from typing import Any

import yaml

from adapters.pool_load import PoolLoad, WorkerReport
from api.internal_calls import INTERNAL_CALLS
from api.measures import as_text

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy" / "monitoring"
WORKER = WorkerReport("w-1", [0], 60, 20, 3, 2, 1, {"version": 4}, {0: 1, 7: 2, 30: 1, 2_000: 1})
LOAD = PoolLoad([WORKER], 0, 0.25, 12, 1.0, 3 * 2**20, 2**30)


def read(name: str) -> dict[str, Any]:
    """A file of the folder."""
    found: dict[str, Any] = yaml.safe_load((FOLDER / name).read_text())
    return found


def samples(text: str) -> dict[str, float]:
    """Lines of the text format that carry a value, each in its only form."""
    found: dict[str, float] = {}
    for line in text.splitlines():
        if not line.startswith("# "):
            matched = re.fullmatch(r'([a-z_]+(?:\{[a-z]+=".*"\})?) ([-+0-9.e]+)', line)
            assert matched and matched[1] not in found, line
            found[matched[1]] = float(matched[2])
    return found


def test_numbers_as_prometheus_reads_them() -> None:
    said = samples(as_text(LOAD, frozen=2))
    assert said["artic_workers"] == 1 and said["artic_shards_frozen"] == 2
    assert said["artic_redis_used_bytes"] == 3 * 2**20
    assert said['artic_ticks_total{worker="w-1"}'] == 60
    assert said['artic_commits_refused_total{worker="w-1",reason="version"}'] == 4
    lag = "artic_tick_lag_seconds"
    buckets = [said[f'{lag}_bucket{{worker="w-1",le="{le}"}}'] for le in ("0.005", "0.01", "0.025")]
    assert buckets == [1, 3, 3]
    assert said[f'{lag}_bucket{{worker="w-1",le="2"}}'] == 4
    assert said[f'{lag}_bucket{{worker="w-1",le="+Inf"}}'] == said[f'{lag}_count{{worker="w-1"}}']
    assert said[f'{lag}_sum{{worker="w-1"}}'] == 2.044


def test_what_is_not_known_is_not_said() -> None:
    said = samples(as_text(PoolLoad([], 8, 0.0, 0, None, 0, 0), frozen=None))
    assert said["artic_database_up"] == 0 and said["artic_partitions_free"] == 8
    assert "artic_shards_frozen" not in said and "artic_frame_age_seconds" not in said


def test_every_alert_is_about_a_metric_that_there_is_and_is_explained() -> None:
    served = {name.partition("{")[0] for name in samples(as_text(LOAD, frozen=0))}
    explained = (ROOT / "deploy" / "runbook.md").read_text()
    rules = [rule for group in read("alerts.yml")["groups"] for rule in group["rules"]]
    assert rules
    for rule in rules:
        assert set(re.findall(r"artic_\w+", rule["expr"])) <= served, rule["alert"]
        assert f"`{rule['alert']}`" in explained, rule["alert"]


def test_prometheus_asks_the_hub_with_its_secret() -> None:
    [job] = read("prometheus.yml")["scrape_configs"]
    [call] = [each for each in INTERNAL_CALLS if each.path == job["metrics_path"]]
    assert call.or_bearer and job["static_configs"] == [{"targets": ["hub:9000"]}]
    service = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]["prometheus"]
    assert service["profiles"] == ["monitoring"]
    assert job["authorization"]["credentials_file"] in service["entrypoint"][-1]
    assert "./deploy/monitoring:/etc/artic:ro" in service["volumes"]
