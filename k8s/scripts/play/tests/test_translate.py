import base64
import copy
import unittest

from play.translate import Translator, expanded, outside_names


def secret(name, **data):
    encoded = {key.replace("_", "."): base64.b64encode(value).decode() for key, value in data.items()}
    return {"kind": "Secret", "metadata": {"name": name}, "data": encoded}


def deployment(name="gateway", kind="Deployment", **container):
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": {
            "replicas": 1,
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {
                    "terminationGracePeriodSeconds": 30,
                    "securityContext": {"runAsUser": 65532, "fsGroup": 65532},
                    "containers": [
                        {
                            "name": "app",
                            "image": "registry/app:1",
                            "imagePullPolicy": "IfNotPresent",
                            "resources": {"limits": {"memory": "64Mi"}},
                            "securityContext": {"readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}},
                            **container,
                        }
                    ],
                },
            },
        },
    }


def service(name, app, ports, **spec):
    return {"kind": "Service", "metadata": {"name": name}, "spec": {"selector": {"app": app}, "ports": ports, **spec}}


class Translate(unittest.TestCase):
    def translate(self, *objects, secrets=()):
        self.notes = []
        translator = Translator("antwerp", list(objects), secrets, {"registry/app:1": "localhost/app:1"}, "/s", self.notes.append)
        return translator.workloads()

    def container(self, *objects, secrets=()):
        return self.translate(*objects, secrets=secrets)[0].deployment["spec"]["template"]["spec"]["containers"][0]

    def test_replicas_are_pods_with_the_same_names(self):
        port = {"name": "web", "containerPort": 4000, "protocol": "TCP"}
        given = deployment("dashboard", ports=[port], env=[{"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}])
        given["spec"]["replicas"] = 2
        ports = [{"port": 4000, "targetPort": "web", "nodePort": 30000, "protocol": "TCP"}]
        first, second = self.translate(given, service("web", "dashboard", ports, type="NodePort"))
        self.assertEqual([first.pod, second.pod], ["dashboard-pod-0", "dashboard-1-pod-0"])
        self.assertEqual([first.name, first.aliases], [second.name, second.aliases])
        containers = [done.deployment["spec"]["template"]["spec"]["containers"][0] for done in (first, second)]
        self.assertEqual([container["env"][0]["value"] for container in containers], [first.pod, second.pod])
        self.assertIn("ports", containers[0])
        self.assertNotIn("ports", containers[1], "the host has the port once")
        self.assertEqual({done.deployment["spec"]["replicas"] for done in (first, second)}, {1})
        self.assertTrue(any("replica 2" in note for note in self.notes))

    def test_nothing_else_is_changed(self):
        given = deployment(args=["-c", "x"], env=[{"name": "A", "value": "b"}])
        before = copy.deepcopy(given)
        done = self.translate(given)[0]
        self.assertEqual(given, before, "what was given is left alone")
        pod = before["spec"]["template"]["spec"]
        pod["containers"][0].update(image="localhost/app:1", imagePullPolicy="Never")
        self.assertEqual(done.deployment, before)
        self.assertEqual(self.notes, ["antwerp: gateway/app: registry/app:1 is localhost/app:1"])
        self.assertEqual((done.grace, done.memory), (30, "64Mi"))

    def test_variables_and_fields_are_resolved(self):
        env = [
            {"name": "CLUSTER", "value": "antwerp"},
            {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "NODE", "value": "$(CLUSTER)-$(POD_NAME)"},
        ]
        values = {variable["name"]: variable for variable in self.container(deployment(env=env))["env"]}
        self.assertEqual(values["NODE"]["value"], "antwerp-gateway-pod-0")
        self.assertNotIn("valueFrom", values["POD_NAME"])
        self.assertEqual(expanded("$(LATER) stays", {}), "$(LATER) stays")

    def test_ports_are_on_the_host_only_where_a_service_says_so(self):
        ports = [
            {"name": "quic", "containerPort": 9443, "hostPort": 9443, "protocol": "UDP"},
            {"name": "admin", "containerPort": 9444, "protocol": "TCP"},
        ]
        self.assertNotIn("ports", self.container(deployment(ports=ports)))
        node_port = {"port": 9443, "targetPort": "quic", "nodePort": 30080, "protocol": "UDP"}
        host = service("host", "gateway", [node_port], type="NodePort")
        kept = self.container(deployment(ports=ports), host)["ports"]
        self.assertEqual(kept, [{"name": "quic", "containerPort": 9443, "hostPort": 30080, "protocol": "UDP"}])

    def test_services_become_names(self):
        ports = [{"name": "quic", "containerPort": 9443, "protocol": "UDP"}]
        port = {"port": 9443, "targetPort": "quic", "protocol": "UDP"}
        done = self.translate(deployment(ports=ports), service("a", "gateway", [port]), service("b", "other", [port]))[0]
        self.assertEqual(done.aliases, ["a"])
        with self.assertRaisesRegex(ValueError, "nobody translates 443 to 9443"):
            self.translate(deployment(ports=ports), service("a", "gateway", [{**port, "port": 443}]))

    def test_probes_are_taken_out_and_kept_for_the_test(self):
        probe = {"httpGet": {"path": "/readyz", "port": "admin"}, "periodSeconds": 2}
        ports = [{"name": "admin", "containerPort": 9444, "protocol": "TCP"}]
        done = self.translate(deployment(ports=ports, readinessProbe=probe, livenessProbe={"exec": {"command": ["x"]}}))[0]
        container = done.deployment["spec"]["template"]["spec"]["containers"][0]
        self.assertNotIn("readinessProbe", container)
        found = {probe.kind: (probe.port, probe.path, probe.command) for probe in done.probes}
        self.assertEqual(found, {"livenessProbe": (None, None, ["x"]), "readinessProbe": (9444, "/readyz", None)})

    def test_a_stateful_set_keeps_its_volume(self):
        given = deployment("db", "StatefulSet", volumeMounts=[{"name": "data", "mountPath": "/data"}])
        given["spec"].update(serviceName="db", volumeClaimTemplates=[{"metadata": {"name": "data"}, "spec": {}}])
        done = self.translate(given)[0]
        self.assertEqual(done.deployment["kind"], "Deployment")
        volumes = done.deployment["spec"]["template"]["spec"]["volumes"]
        self.assertEqual(volumes, [{"name": "data", "persistentVolumeClaim": {"claimName": "data-db-0"}}])

    def test_secrets_become_files_of_the_group_that_reads_them(self):
        given = deployment(volumeMounts=[{"name": "ca", "mountPath": "/ca"}])
        given["spec"]["template"]["spec"]["volumes"] = [
            {"name": "ca", "secret": {"secretName": "tls", "items": [{"key": "ca.crt", "path": "ca.crt"}]}}
        ]
        done = self.translate(given, secrets=[secret("tls", ca_crt=b"CA", tls_key=b"KEY")])[0]
        self.assertEqual(done.files, {"/s/gateway-ca": ({"ca.crt": b"CA"}, 65532)}, "and the key is not among them")

    def test_a_key_that_is_missing_is_told(self):
        env = [{"name": "URL", "valueFrom": {"secretKeyRef": {"name": "db", "key": "uri"}}}]
        with self.assertRaisesRegex(ValueError, "the Secret db has no uri"):
            self.translate(deployment(env=env), secrets=[secret("db", url=b"x")])

    def test_what_runs_first_is_a_pod_of_its_own(self):
        given = deployment(env=[{"name": "A", "value": "b"}])
        pod = given["spec"]["template"]["spec"]
        pod["initContainers"] = [{**copy.deepcopy(pod["containers"][0]), "name": "migrate", "args": ["migrate"]}]
        done = self.translate(given)[0]
        self.assertNotIn("initContainers", done.deployment["spec"]["template"]["spec"])
        first = done.first[0]
        self.assertEqual((first["metadata"]["name"], first["spec"]["restartPolicy"]), ("gateway-migrate", "Never"))
        self.assertEqual(first["spec"]["containers"][0]["args"], ["migrate"])

    def test_an_image_that_nobody_built(self):
        given = deployment()
        given["spec"]["template"]["spec"]["containers"][0]["image"] = "registry/other:1"
        with self.assertRaisesRegex(ValueError, "no local image for registry/other:1"):
            self.translate(given)

    def test_names_of_nodes_lead_to_their_gateways(self):
        external = {"type": "ExternalName", "externalName": "be-antwerp-control-plane"}
        there = {"kind": "Service", "metadata": {"name": "gateway-antwerp"}, "spec": external}
        names = outside_names({"macula-hub": [there], "be-antwerp": []})
        self.assertEqual(names["be-antwerp"], ["be-antwerp-control-plane", "gateway-antwerp"])


if __name__ == "__main__":
    unittest.main()
