"""The manifests without a cluster: against the schemas, and against what they are made of."""

from __future__ import annotations

import json
import os
import runpy
from collections import Counter
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from support.processes import said_by
from support.stack_files import ROOT, documents

from parsl_exporter.config.load import Overrides, load
from parsl_exporter.metrics.families import FAMILIES

FOLDER = ROOT / "config" / "kubernetes"
FILES: dict[str, list[dict[str, Any]]] = {
    path.name: documents(path.read_text()) for path in sorted(FOLDER.iterdir())
}
OBJECTS = [one for objects in FILES.values() for one in objects]
OF_THE_OPERATOR = ("ServiceMonitor", "PrometheusRule")
OLDEST_AND_NEWEST = ("1.27.0", "1.37.0")
RULES = sorted((ROOT / "config" / "rules").glob("*.yml"))


def of(kind: str) -> list[dict[str, Any]]:
    return [one for one in OBJECTS if one["kind"] == kind]


def strict(schema: Any) -> Any:
    """The schema, taking no key that it does not name: a cluster would drop those without a word.

    Without the one expression that only Go's dialect knows.
    """
    if isinstance(schema, list):
        return [strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {"additionalProperties": False} if schema.get("properties") else {}
    return closed | {
        key: strict(value) for key, value in schema.items() if not (key == "pattern" and "(?i)" in value)
    }


def test_what_is_committed_is_what_is_made() -> None:
    made = runpy.run_path(str(ROOT / "config" / "build.py"))["manifests"]()
    assert {path.name for path in FOLDER.iterdir()} == made.keys()
    assert [name for name, text in made.items() if (FOLDER / name).read_text() != text] == []


@pytest.mark.parametrize("version", OLDEST_AND_NEWEST)
def test_kubernetes_takes_every_object(version: str) -> None:
    try:
        schemas = import_module("kubernetes_validate")
    except ImportError:
        assert not os.environ.get("CI"), "kubernetes-validate is not installed"
        pytest.skip("kubernetes-validate is not installed")
    for one in OBJECTS:
        if one["kind"] not in OF_THE_OPERATOR:
            schemas.validate(one, version, strict=True)


@pytest.mark.parametrize("kind", OF_THE_OPERATOR)
def test_the_prometheus_operator_takes_its_objects(kind: str, tmp_path: Path) -> None:
    (file,) = (ROOT / "tests" / "data" / "kubernetes").glob(f"{kind.lower()}-*.json")
    schema = strict(json.loads(file.read_text()))
    # Of the API server's own part the resource's schema says no more than that it is there.
    schema["properties"]["metadata"] = {"type": "object"}
    (tmp_path / "schema").write_text(json.dumps(schema))
    for number, one in enumerate(of(kind)):
        (tmp_path / f"{number}.json").write_text(json.dumps(one))
    objects = sorted(tmp_path.glob("*.json"))
    assert objects
    said_by("check-jsonschema", "--schemafile", tmp_path / "schema", *objects)


def test_no_two_objects_of_a_kind_have_one_name() -> None:
    names = Counter((one["kind"], one["metadata"]["name"]) for one in OBJECTS)
    assert max(names.values()) == 1


def test_kubectl_can_keep_its_copy_of_each_object() -> None:
    """`kubectl apply` puts the last one that it applied into an annotation; all of an object's are 256 KiB at most."""
    for one in OBJECTS:
        assert len(json.dumps(one).encode()) < 256 * 1024, one["metadata"]["name"]


def test_the_rules_are_those_of_the_checkout() -> None:
    theirs = {one["metadata"]["name"]: one["spec"] for one in of("PrometheusRule")}
    ours = {f"parsl-{path.stem}": spec for path in RULES for spec in documents(path.read_text())}
    for spec in ours.values():
        for rule in (rule for group in spec["groups"] for rule in group["rules"]):
            rule["expr"] = str(rule["expr"])
    assert theirs == ours


def test_the_dashboards_are_those_of_the_checkout() -> None:
    theirs = {name: text for one in FILES["dashboards.yml"] for name, text in one["data"].items()}
    ours = {path.name: path.read_text() for path in (ROOT / "grafana" / "dashboards").glob("*.json")}
    assert {name: json.loads(text) for name, text in theirs.items()} == {
        name: json.loads(text) for name, text in ours.items()
    }
    assert {one["metadata"]["labels"].get("grafana_dashboard") for one in FILES["dashboards.yml"]} == {"1"}


def test_the_configuration_is_the_example_but_for_where_it_listens_and_reads(tmp_path: Path) -> None:
    (given,) = (one["data"]["exporter.yml"] for one in FILES["exporter.yml"] if one["kind"] == "ConfigMap")
    (tmp_path / "exporter.yml").write_text(given)
    settings = load(tmp_path / "exporter.yml", Overrides())
    example = load(ROOT / "config" / "exporter.yml", Overrides(databases=("/runinfo",)))
    assert settings.web.listen_address == (":9678",)
    assert [source.target for source in settings.sources] == ["/runinfo"]
    for name in ("poll_interval", "retention", "buckets", "failure_reasons", "limits", "timezone"):
        assert getattr(settings, name) == getattr(example, name)


class TestThePod:
    (deployment,) = of("Deployment")
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]

    def test_it_keeps_to_the_restricted_standard(self) -> None:
        """https://kubernetes.io/docs/concepts/security/pod-security-standards/"""
        assert self.pod["securityContext"]["runAsNonRoot"] is True
        assert self.pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert self.container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert not self.pod.keys() & {"hostNetwork", "hostPID", "hostIPC"}
        assert {kind for volume in self.pod["volumes"] for kind in volume.keys() - {"name"}} == {
            "configMap",
            "persistentVolumeClaim",
        }

    def test_it_may_write_nothing_and_has_no_account(self) -> None:
        assert all(mount["readOnly"] for mount in self.container["volumeMounts"])
        assert self.pod["automountServiceAccountToken"] is False
        assert "fsGroup" not in self.pod["securityContext"]  # it would have the volume's owners changed

    def test_it_runs_as_the_image_s_user(self) -> None:
        assert f"USER {self.pod['securityContext']['runAsUser']}:" in (ROOT / "Dockerfile").read_text()

    def test_its_image_is_the_stack_s(self) -> None:
        assert f"image: {self.container['image']}\n" in (ROOT / "docker-compose.yml").read_text()

    def test_the_service_and_the_monitor_lead_to_it(self) -> None:
        (service,), (monitor,) = of("Service"), of("ServiceMonitor")
        labels = self.deployment["spec"]["template"]["metadata"]["labels"]
        assert self.deployment["spec"]["selector"]["matchLabels"] == service["spec"]["selector"] == labels
        assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
        ports = {port["name"]: port["containerPort"] for port in self.container["ports"]}
        (port,) = service["spec"]["ports"]
        (endpoint,) = monitor["spec"]["endpoints"]
        assert (endpoint["port"], port["targetPort"], ports) == (port["name"], "http", {"http": 9678})
        for probe in ("livenessProbe", "readinessProbe"):
            assert self.container[probe]["httpGet"]["port"] in ports

    def test_the_job_is_the_one_that_the_rules_ask_for(self) -> None:
        (service,), (monitor,) = of("Service"), of("ServiceMonitor")
        job = service["metadata"]["labels"][monitor["spec"]["jobLabel"]]
        assert f'job="{job}"' in "".join(path.read_text() for path in RULES)

    def test_no_label_that_the_operator_adds_hides_one_of_the_exporter(self) -> None:
        added = {"namespace", "service", "pod", "container", "endpoint", "node", "job", "instance"}
        assert not added & {label for family in FAMILIES for label in family.labels}
