"""The manifests in deploy/kubernetes, held against the product: its settings, its time-outs, and what it may do on a machine."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from app.environment import Environment, IngestEnvironment, MigrateEnvironment, RunEnvironment, WorkerEnvironment, load
from recharge import limits
from recharge.settings import ProviderSettings

FOLDER = Path(__file__).parents[2] / "deploy" / "kubernetes"
MOUNTED = "/etc/recharge"
KINDS = {
    ("v1", "Namespace"),
    ("v1", "ServiceAccount"),
    ("v1", "ConfigMap"),
    ("v1", "Service"),
    ("apps/v1", "StatefulSet"),
    ("apps/v1", "Deployment"),
    ("batch/v1", "Job"),
    ("policy/v1", "PodDisruptionBudget"),
    ("networking.k8s.io/v1", "NetworkPolicy"),
}
"""What the check of the schemas knows; it would only warn of others."""
ENVIRONMENTS: dict[str, type[Environment]] = {
    "run": RunEnvironment,
    "ingest": IngestEnvironment,
    "worker": WorkerEnvironment,
    "migrate": MigrateEnvironment,
}
REACHES = {
    "run": {"temporal", "kafka", "mysql", "provider"},
    "ingest": {"temporal", "kafka"},
    "worker": {"temporal", "mysql", "provider"},
    "migrate": {"temporal", "mysql"},
}
SECRETS = {
    "url": "mysql://u:p@mysql:3306/recharge?ssl_ca=/etc/recharge/mysql/ca.pem",
    "password": "p",
    "token": "t",
    "hash-key": "k" * 32,
}


def documents() -> Iterator[dict[str, Any]]:
    for file in sorted(FOLDER.glob("*.yaml")):
        yield from YAML(typ="safe", pure=True).load_all(file)


DOCUMENTS = list(documents())
WORKLOADS = {
    each["metadata"]["labels"]["app.kubernetes.io/component"]: each
    for each in DOCUMENTS
    if each["kind"] in {"StatefulSet", "Deployment", "Job"}
}


def pod(component: str) -> dict[str, Any]:
    spec: dict[str, Any] = WORKLOADS[component]["spec"]["template"]["spec"]
    return spec


def container(component: str) -> dict[str, Any]:
    (only,) = pod(component)["containers"]
    return dict(only)


def environment(component: str) -> dict[str, str]:
    """What the process finds in its environment."""
    maps = {each["metadata"]["name"]: each["data"] for each in DOCUMENTS if each["kind"] == "ConfigMap"}
    given: dict[str, str] = {}
    for each in container(component)["envFrom"]:
        given |= maps[each["configMapRef"]["name"]]
    for each in container(component).get("env", []):
        given[each["name"]] = each.get("value", "recharge-run-0")
    return given


def test_every_kind_is_one_whose_schema_is_checked() -> None:
    assert {(each["apiVersion"], each["kind"]) for each in DOCUMENTS} == KINDS
    assert WORKLOADS.keys() == ENVIRONMENTS.keys()


@pytest.mark.parametrize("component", ENVIRONMENTS)
def test_each_process_starts_with_the_settings_and_the_secrets_that_it_is_given(component: str, tmp_path: Path) -> None:
    mounted = {each["mountPath"] for each in container(component)["volumeMounts"]}
    given = environment(component)
    for name, value in given.items():
        if value.startswith(MOUNTED):
            assert str(Path(value).parent) in mounted, f"{name} names a file that {component} has not got"
            file = tmp_path / value.removeprefix("/")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(SECRETS.get(file.name, "-"))
            given[name] = str(file)
    load(ENVIRONMENTS[component], given)


@pytest.mark.parametrize("component", ENVIRONMENTS)
def test_a_process_gets_no_secret_that_it_does_not_read(component: str) -> None:
    mounted = {Path(each["mountPath"]).name for each in container(component)["volumeMounts"]} - {"tmp"}
    assert mounted - {"privacy"} == REACHES[component]
    assert ("privacy" in mounted) == ("kafka" in mounted)


@pytest.mark.parametrize("component", ["run", "ingest", "worker"])
def test_a_stopped_pod_has_the_time_for_the_call_that_is_in_flight(component: str) -> None:
    timeout_s = float(
        environment(component).get("RECHARGE_PROVIDER__TIMEOUT_S", ProviderSettings.model_fields["timeout_s"].default)
    )
    needed_s = limits.TRACES_FLUSH_S
    if component != "worker":
        needed_s += limits.STOP_TIMEOUT_S
    if component != "ingest":
        needed_s += timeout_s + limits.ACTIVITY_SLACK_S
    assert pod(component)["terminationGracePeriodSeconds"] >= needed_s + 10


@pytest.mark.parametrize("component", ["run", "ingest"])
def test_an_ingester_is_known_to_its_group_by_its_pods_name(component: str) -> None:
    assert WORKLOADS[component]["kind"] == "StatefulSet"
    (named,) = container(component)["env"]
    assert named["name"] == "RECHARGE_KAFKA__GROUP_INSTANCE_ID"
    assert named["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.name"


@pytest.mark.parametrize("component", ENVIRONMENTS)
def test_a_pod_may_do_nothing_but_its_work(component: str) -> None:
    spec, of_container = pod(component), container(component)["securityContext"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] == 10001
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert of_container == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    # No variable such as RECHARGE_RUN_SERVICE_HOST stands among the settings.
    assert spec["enableServiceLinks"] is False
    assert spec["automountServiceAccountToken"] is False
    resources = container(component)["resources"]
    assert resources["requests"].keys() == {"cpu", "memory"}
    assert resources["limits"].keys() == {"memory"}


def test_the_network_lets_each_process_reach_its_servers_and_nothing_else() -> None:
    policies = {each["metadata"]["name"]: each["spec"] for each in DOCUMENTS if each["kind"] == "NetworkPolicy"}
    assert policies["nothing-else"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    for component, servers in REACHES.items():
        allowed = {
            name.removeprefix("to-")
            for name, spec in policies.items()
            for match in spec["podSelector"].get("matchExpressions", [])
            if component in match["values"]
        }
        assert allowed == servers
    ports = [port_of("run", "LISTEN"), port_of("run", "SDK_LISTEN")]
    assert policies["from-prometheus"]["ingress"][0]["ports"] == [{"protocol": "TCP", "port": each} for each in ports]


def port_of(component: str, setting: str) -> int:
    return int(environment(component)[f"RECHARGE_HTTP__{setting}"].rpartition(":")[2])


@pytest.mark.parametrize("component", ["run", "ingest", "worker"])
def test_a_pod_that_goes_leaves_others_and_is_looked_at_where_it_listens(component: str) -> None:
    assert WORKLOADS[component]["spec"]["replicas"] >= 2
    budgets = {each["metadata"]["name"] for each in DOCUMENTS if each["kind"] == "PodDisruptionBudget"}
    assert f"recharge-{component}" in budgets
    ours, sdk = container(component)["ports"]
    assert (ours["name"], ours["containerPort"]) == ("http", port_of(component, "LISTEN"))
    assert (sdk["name"], sdk["containerPort"]) == ("sdk-metrics", port_of(component, "SDK_LISTEN"))
    annotations = WORKLOADS[component]["spec"]["template"]["metadata"]["annotations"]
    assert annotations == {
        "prometheus.io/scrape": "true",
        "prometheus.io/port": str(ours["containerPort"]),
        "prometheus.io/path": "/metrics",
    }
    (service,) = [
        each for each in DOCUMENTS if each["kind"] == "Service" and each["metadata"]["name"] == f"recharge-{component}"
    ]
    assert {port["targetPort"]: port["port"] for port in service["spec"]["ports"]} == {
        port["name"]: port["containerPort"] for port in (ours, sdk)
    }
    paths = {name: container(component)[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")}
    assert {each["port"] for each in paths.values()} == {"http"}
    assert {name: each["path"] for name, each in paths.items()} == {
        "startup": "/healthz",
        "liveness": "/healthz",
        "readiness": "/readyz",
    }
