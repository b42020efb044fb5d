import shutil
import tempfile
import unittest
from pathlib import Path

import yaml
from check.__main__ import K8S
from check.flux import check_order, check_schema
from check.mesh import check_kind, check_mesh
from check.metrics import check_listing, parse, untested
from check.network import check_network
from check.objects import build
from check.text import check_text, check_unique

from .world import clusters, container, one


class Clusters(unittest.TestCase):
    def setUp(self):
        self.clusters = clusters()
        self.hub = self.clusters["macula-hub"]

    def assert_one(self, problems, part):
        problems = list(problems)
        self.assertEqual(len(problems), 1, problems)
        self.assertIn(part, problems[0])

    def set_env(self, cluster, deployment, name, value):
        for variable in container(self.clusters[cluster], "Deployment", deployment)["env"]:
            if variable["name"] == name:
                variable["value"] = value

    def test_what_is_right_is_no_problem(self):
        self.assertEqual(check_mesh(self.clusters), [])
        for objects in self.clusters.values():
            self.assertEqual(check_network(objects) + check_text(objects) + check_unique(objects), [])

    def test_a_peer_that_is_forgotten(self):
        self.set_env("be-antwerp", "macula-gateway-service", "MESH_PEERS", "https://gateway-hub:9443,https://gateway-efl:9443")
        self.assert_one(check_mesh(self.clusters), "MESH_PEERS lacks https://gateway-brabant:9443")

    def test_a_gateway_that_dials_itself(self):
        peers = "https://gateway-antwerp:9443,https://gateway-hub:9443,https://gateway-brabant:9443,https://gateway-efl:9443"
        self.set_env("be-antwerp", "macula-gateway-service", "MESH_PEERS", peers)
        self.assert_one(check_mesh(self.clusters), "https://gateway-antwerp:9443, which is no other gateway")

    def test_homes_of_another_region(self):
        self.set_env("be-brabant", "cortex-iq-homes", "CORTEXIQ_REGION", "antwerp")
        self.assert_one(check_mesh(self.clusters), "cortex-iq-homes takes itself for one of antwerp")

    def test_a_name_that_leads_elsewhere(self):
        service = one(self.clusters["be-brabant"], "Service", "gateway-efl")
        service["spec"]["externalName"] = "be-efl-control-plane"
        self.assert_one(check_mesh(self.clusters), "gateway-efl leads to be-efl-control-plane")

    def test_a_dashboard_in_a_region(self):
        self.clusters["be-antwerp"].append(one(self.hub, "Deployment", "cortex-iq-dashboard"))
        self.assert_one(check_mesh(self.clusters), "the seed document says")

    def test_a_host_port_over_tcp(self):
        service = one(self.hub, "Service", "macula-gateway-host")
        service["spec"]["ports"][0]["protocol"] = "TCP"
        self.assertTrue(any("30080, 'TCP'" in problem for problem in check_mesh(self.clusters)))
        self.assertTrue(any("9443 is QUIC" in problem for problem in check_network(self.hub)))

    def test_a_kind_config_that_maps_tcp(self):
        config = yaml.safe_load((K8S / "scripts/kind/macula-hub.yaml").read_text())
        config["nodes"][0]["extraPortMappings"][1]["protocol"] = "TCP"
        self.assert_one(check_kind({"macula-hub": config}), "maps")

    def test_a_service_that_selects_nothing(self):
        one(self.hub, "Service", "postgres")["spec"]["selector"] = {"app": "postgresql"}
        self.assert_one(check_network(self.hub), "selects nothing")

    def test_a_target_port_that_no_pod_has(self):
        one(self.hub, "Service", "postgres")["spec"]["ports"][0]["targetPort"] = "sql"
        self.assert_one(check_network(self.hub), "port sql/TCP is none of its pods")

    def test_a_protocol_that_is_none(self):
        one(self.hub, "Service", "macula-gateway-headless")["spec"]["ports"][0]["protocol"] = "QUIC"
        self.assertTrue(any("QUIC is no protocol" in problem for problem in check_network(self.hub)))

    def test_a_policy_for_nobody(self):
        policy = one(self.hub, "NetworkPolicy", "postgres")
        policy["spec"]["ingress"][0]["from"][0]["podSelector"]["matchLabels"] = {"database-client": "true"}
        self.assert_one(check_network(self.hub), "from nobody")

    def test_a_policy_for_a_port_that_no_pod_has(self):
        policy = one(self.hub, "NetworkPolicy", "cortex-iq-dashboard")
        policy["spec"]["ingress"][1]["ports"][0]["port"] = "web"
        self.assert_one(check_network(self.hub), "there is no port web/TCP")

    def test_a_placeholder(self):
        container(self.hub, "Deployment", "cortex-iq-dashboard")["env"].append({"name": "PHX_HOST", "value": "CHANGE_ME"})
        self.assert_one(check_text(self.hub), "is a placeholder")

    def test_a_secret_in_git(self):
        self.hub.append({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "grafana"}, "data": {}})
        self.assert_one(check_text(self.hub), "create-secrets.sh")

    def test_an_object_in_two_folders(self):
        self.hub.append(one(self.hub, "Service", "postgres"))
        self.assert_one(check_unique(self.hub), "stands twice")


class Flux(unittest.TestCase):
    def setUp(self):
        objects = build(K8S / "clusters/macula-hub/flux-system")
        self.kustomizations = {thing["metadata"]["name"]: thing for thing in objects if thing["kind"] == "Kustomization"}

    def test_applications_before_their_gateway(self):
        del self.kustomizations["apps"]["spec"]["dependsOn"]
        self.assertEqual(len(check_order(self.kustomizations)), 1)

    def test_a_circle(self):
        self.kustomizations["postgres"]["spec"]["dependsOn"] = [{"name": "apps"}]
        self.assertTrue(any("waits for itself" in problem for problem in check_order(self.kustomizations)))

    def test_a_field_that_flux_does_not_have(self):
        self.kustomizations["apps"]["spec"]["pruned"] = True
        self.assertEqual(list(check_schema(self.kustomizations["apps"])), ["there is no field .spec.pruned"])


class Metrics(unittest.TestCase):
    def test_an_expression_that_does_not_parse(self):
        self.assertNotEqual(parse([("x", "sum(rate(up[5m])")]), [])
        self.assertEqual(parse([("x", "sum(rate(up{cluster=~\"$cluster\"}[$__rate_interval]))")]), [])

    def test_a_metric_that_is_not_listed_and_one_that_is_gone(self):
        listing = K8S / "base/observability/metrics.txt"
        self.assertEqual(check_listing(K8S.parent, listing), [])
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as other:
            other.write(listing.read_text().replace("cortexiq_homes_lag_seconds", "cortexiq_homes_delay_seconds"))
            other.flush()
            name = Path(other.name).name
            gone = [f"{name} lacks cortexiq_homes_lag_seconds", f"{name}: no source declares cortexiq_homes_delay_seconds"]
            self.assertEqual(check_listing(K8S.parent, Path(other.name)), gone)

    def test_an_alert_that_no_test_makes_fire(self):
        with tempfile.TemporaryDirectory() as folder:
            prometheus = Path(folder) / "prometheus"
            shutil.copytree(K8S / "base/observability/prometheus", prometheus)
            self.assertEqual(untested(prometheus), [])
            tests = prometheus / "tests/market.yml"
            tests.write_text(tests.read_text().replace("alertname: BotDown", "alertname: BotGone"))
            self.assertEqual(untested(prometheus), ["prometheus/tests: no test makes BotDown fire"])


if __name__ == "__main__":
    unittest.main()
