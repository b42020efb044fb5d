import unittest

from check.pods import check_pods

from .world import clusters, container, known, one


class Pods(unittest.TestCase):
    def setUp(self):
        self.hub = clusters()["macula-hub"]
        self.gateway = container(self.hub, "Deployment", "macula-gateway-service")

    def problems(self):
        return check_pods(self.hub, known())

    def assert_told(self, part):
        problems = self.problems()
        self.assertEqual(len(problems), 1, problems)
        self.assertIn(part, problems[0])

    def test_what_is_right_is_no_problem(self):
        self.assertEqual(self.problems(), [])

    def test_a_selector_that_means_other_pods(self):
        one(self.hub, "Deployment", "cortex-iq-queries")["spec"]["selector"]["matchLabels"]["app"] = "queries"
        self.assert_told("the selector app=queries")

    def test_quic_over_tcp(self):
        self.gateway["ports"][0]["protocol"] = "TCP"
        self.assert_told("port 9443 has to be UDP")

    def test_a_port_past_the_last(self):
        self.gateway["ports"][1]["containerPort"] = 99999
        self.assert_told("port 99999 is no port")

    def test_a_probe_of_a_port_that_is_not_there(self):
        self.gateway["readinessProbe"]["httpGet"]["port"] = "health"
        self.assert_told("there is no port health")

    def test_an_open_port_is_no_health(self):
        self.gateway["readinessProbe"] = {"tcpSocket": {"port": 9444}}
        self.assert_told("a port that is open says nothing")

    def test_an_impatient_liveness_probe(self):
        self.gateway["livenessProbe"]["failureThreshold"] = 3
        self.assert_told("a gateway is given a minute, not 30 s")

    def test_a_mount_without_its_volume(self):
        self.gateway["volumeMounts"][0]["name"] = "certificates"
        self.assert_told("there is no volume certificates")

    def test_a_setting_that_no_binary_has(self):
        self.gateway["env"].append({"name": "MESH_PEER", "value": "https://a:1"})
        self.assert_told("MESH_PEER is no setting of macula-gateway-service")

    def test_a_variable_that_comes_too_late(self):
        environment = self.gateway["env"]
        environment.append(environment.pop([variable["name"] for variable in environment].index("CLUSTER")))
        self.assert_told("MACULA_NODE_NAME refers to CLUSTER, which is not set before it")

    def test_a_secret_in_clear(self):
        for variable in container(self.hub, "StatefulSet", "postgres")["env"]:
            if variable["name"] == "POSTGRES_PASSWORD":
                del variable["valueFrom"]
                variable["value"] = "postgres"
        self.assert_told("POSTGRES_PASSWORD is a secret in clear")

    def test_a_key_that_the_secret_does_not_have(self):
        for variable in container(self.hub, "StatefulSet", "postgres")["env"]:
            if variable["name"] == "POSTGRES_PASSWORD":
                variable["valueFrom"]["secretKeyRef"]["key"] = "passwort"
        self.assert_told("has no key passwort")

    def test_latest(self):
        self.gateway["image"] = "registry.macula.local:5000/macula/macula-gateway-service:latest"
        self.assert_told("give it a version")

    def test_an_image_without_release(self):
        self.gateway["image"] = "macula/macula-gateway-service:1.0"
        self.assert_told("is components/release missing?")

    def test_a_quantity_that_is_none(self):
        self.gateway["resources"]["limits"]["memory"] = "4GiB"
        self.assert_told("4GiB is no quantity")

    def test_more_requested_than_allowed(self):
        self.gateway["resources"]["requests"]["memory"] = "1Gi"
        self.assert_told("requests more memory than its limit")

    def test_service_links(self):
        del one(self.hub, "Deployment", "cortex-iq-queries")["spec"]["template"]["spec"]["enableServiceLinks"]
        self.assert_told("enableServiceLinks has to be false")

    def test_a_field_that_pods_do_not_have(self):
        self.gateway["env"][4]["valueFrom"]["fieldRef"]["fieldPath"] = "metadata.nom"
        self.assert_told("there is no field metadata.nom")


if __name__ == "__main__":
    unittest.main()
