"""The manifests are what Kubernetes knows, and agree with each other, with the image and with the
settings. No cluster is needed.
"""

from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from adapters.redis_keys import TICK_PARTITIONS
from adapters.settings import NEEDED, settings_table
from api.auth import INTERNAL_HEADER
from api.internal_calls import INTERNAL_CALLS

FOLDER = Path(__file__).resolve().parents[2] / "deploy" / "k8s"
KEDA = FOLDER / "keda"
VERSION = "1.34"
PODS = ("Deployment", "Job")


def kustomization() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
    return found


def resources() -> list[dict[str, Any]]:
    """Every object that the kustomization names."""
    texts = [(FOLDER / name).read_text() for name in kustomization()["resources"]]
    return [found for text in texts for found in yaml.safe_load_all(text) if found]


def overlay() -> dict[str, Any]:
    """The kustomization for a cluster with KEDA."""
    found: dict[str, Any] = yaml.safe_load((KEDA / "kustomization.yaml").read_text())
    return found


def read(name: str) -> list[dict[str, Any]]:
    """The objects of one of its manifests."""
    return list(yaml.safe_load_all((KEDA / f"{name}.yaml").read_text()))


def of_kind(*kinds: str) -> list[dict[str, Any]]:
    """Those of some kinds."""
    return [each for each in resources() if each["kind"] in kinds]


def pod(each: dict[str, Any]) -> dict[str, Any]:
    """The pod that an object makes."""
    found: dict[str, Any] = each["spec"]["template"]["spec"]
    return found


def labels(each: dict[str, Any]) -> dict[str, str]:
    """The labels of that pod."""
    found: dict[str, str] = each["spec"]["template"]["metadata"]["labels"]
    return found


@pytest.mark.parametrize("each", resources(), ids=lambda e: f"{e['kind']}-{e['metadata']['name']}")
def test_kubernetes_knows_every_field(each: dict[str, Any]) -> None:
    kubernetes_validate.validate(each, VERSION, strict=True)


def test_every_manifest_is_named() -> None:
    there = {path.name for path in FOLDER.glob("*.yaml")} - {"kustomization.yaml"}
    assert there == set(kustomization()["resources"])
    there = {path.name for path in KEDA.glob("*.yaml")} - {"kustomization.yaml"}
    assert there | {"../"} == set(overlay()["resources"])


def test_keda_scales_what_the_measure_of_cpu_alone_did() -> None:
    by_kind = {each["kind"]: each for name in ("worker-lag", "network") for each in read(name)}
    kubernetes_validate.validate(by_kind["NetworkPolicy"], VERSION, strict=True)
    [patch] = [yaml.safe_load(each["patch"]) for each in overlay()["patches"]]
    [scaled] = [each for each in of_kind(patch["kind"]) if each["metadata"] == patch["metadata"]]
    spec = by_kind["ScaledObject"]["spec"]
    assert spec["scaleTargetRef"] == scaled["spec"]["scaleTargetRef"]
    assert (spec["minReplicaCount"], spec["maxReplicaCount"]) == (2, TICK_PARTITIONS)
    assert (
        spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
        == (scaled["spec"]["behavior"])
    )


def test_keda_asks_what_the_hub_answers() -> None:
    [spec] = [each["spec"] for each in read("worker-lag") if each["kind"] == "ScaledObject"]
    [auth] = [each for each in read("worker-lag") if each["kind"] == "TriggerAuthentication"]
    [trigger] = [each for each in spec["triggers"] if each["type"] == "metrics-api"]
    asked = trigger["metadata"]
    [call] = [each for each in INTERNAL_CALLS if asked["url"].endswith(each.path)]
    assert asked["valueLocation"] in call.answers[200].type.__struct_fields__
    assert asked["keyParamName"].lower() == INTERNAL_HEADER
    assert trigger["authenticationRef"]["name"] == auth["metadata"]["name"]
    [secret] = auth["spec"]["secretTargetRef"]
    assert (secret["name"], secret["parameter"]) == ("artic", "apiKey")
    assert secret["key"] in NEEDED


def test_what_selects_pods_finds_some() -> None:
    pods = {each["metadata"]["name"]: labels(each) for each in of_kind(*PODS)}
    for each in of_kind("Deployment", "PodDisruptionBudget", "NetworkPolicy"):
        spec = each["spec"]
        wanted = spec.get("selector", spec.get("podSelector", {})).get("matchLabels", {})
        assert any(wanted.items() <= found.items() for found in pods.values()), each["metadata"]
    for each in of_kind("Service"):
        wanted = each["spec"]["selector"]
        assert any(wanted.items() <= found.items() for found in pods.values()), each["metadata"]
    for each in of_kind("HorizontalPodAutoscaler"):
        assert each["spec"]["scaleTargetRef"]["name"] in pods


def test_no_pod_may_do_more_than_it_needs() -> None:
    for each in of_kind(*PODS):
        assert pod(each)["securityContext"]["runAsNonRoot"] is True
        assert pod(each)["automountServiceAccountToken"] is False
        for container in pod(each)["containers"]:
            security = container["securityContext"]
            assert security["readOnlyRootFilesystem"] and not security["allowPrivilegeEscalation"]
            assert security["capabilities"] == {"drop": ["ALL"]}
            assert "memory" in container["resources"]["limits"]


def test_secrets_are_referenced_and_never_included() -> None:
    assert of_kind("Secret") == []
    for each in of_kind("ConfigMap"):
        assert not NEEDED & each["data"].keys()
        assert all(f"`{key}`" in settings_table() for key in each["data"])


def test_what_scales_by_itself_has_no_fixed_size() -> None:
    scaled = {each["metadata"]["name"] for each in of_kind("HorizontalPodAutoscaler")}
    assert scaled == {"hub", "worker"}
    for each in of_kind("Deployment"):
        assert ("replicas" in each["spec"]) != (each["metadata"]["name"] in scaled)


def test_the_endpoint_is_reached_by_its_callers_only() -> None:
    policies = {each["metadata"]["name"]: each["spec"] for each in of_kind("NetworkPolicy")}
    assert policies["nothing-comes-in"] == {"podSelector": {}, "policyTypes": ["Ingress"]}
    assert [rule["ports"] for rule in policies["shim"]["ingress"]] == [[{"port": 8000}]]
    for spec in policies.values():
        assert all(rule["from"] for rule in spec.get("ingress", []))
