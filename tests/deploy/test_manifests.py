"""The manifests are what Kubernetes knows, and agree with each other, with the image and with the
settings. No cluster is needed.
"""

from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from adapters.settings import NEEDED, settings_table

FOLDER = Path(__file__).resolve().parents[2] / "deploy" / "k8s"
VERSION = "1.34"
PODS = ("Deployment", "Job")


def kustomization() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
    return found


def resources() -> list[dict[str, Any]]:
    """Every object that the kustomization names."""
    texts = [(FOLDER / name).read_text() for name in kustomization()["resources"]]
    return [found for text in texts for found in yaml.safe_load_all(text) if found]


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
