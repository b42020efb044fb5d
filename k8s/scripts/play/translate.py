"""From what `kubectl kustomize` builds to what `podman kube play` of podman 4.3 can run.

podman runs Deployments and knows nothing of StatefulSets, Services, Secret volumes, `$(VAR)` or probes by HTTP. Each thing
that has to be said in another way is one function here, and every change is told to `note`. Nothing else is changed: what
the containers get of users, capabilities, limits, read-only roots, arguments and environment is what the manifests say.
"""

import base64
import copy
import re
from dataclasses import dataclass, field

# Kinds that mean nothing without a control plane; the test lists what it leaves out.
NOT_RUN = {
    "ConfigMap", "CronJob", "Namespace", "NetworkPolicy", "PersistentVolumeClaim", "PodDisruptionBudget", "Service",
    "ServiceAccount",
}


@dataclass
class Probe:
    """A question that the kubelet would ask, and the test asks instead."""

    kind: str
    port: int | None = None
    path: str | None = None
    command: list[str] | None = None


@dataclass
class Workload:
    """One pod of a cluster, ready for `podman kube play`."""

    name: str
    pod: str
    deployment: dict
    # Pods that have to end well before this one starts.
    first: list[dict] = field(default_factory=list)
    # Names under which the cluster, and under which other clusters, reach it.
    aliases: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)
    probes: list[Probe] = field(default_factory=list)
    # Folder of the host for every volume of Secrets: file name to content, and the group that reads it.
    files: dict[str, tuple[dict[str, bytes], int]] = field(default_factory=dict)
    grace: int = 30
    # Limit of its container.
    memory: str = ""


class Translator:
    """Translates the objects of one cluster."""

    def __init__(self, cluster, objects, secrets, images, folder, note=print):
        """`secrets`: Secret objects; `images`: image to local image; `folder`: where files of Secrets are put."""
        self.cluster = cluster
        self.objects = objects
        self.secrets = {secret["metadata"]["name"]: decoded(secret) for secret in secrets}
        self.images = images
        self.folder = folder
        self.note = lambda text: note(f"{cluster}: {text}")

    def workloads(self) -> list[Workload]:
        """All pods, in no order; replicas one after the other."""
        kinds = ("Deployment", "StatefulSet")
        return [
            self.workload(thing, replica)
            for thing in self.objects
            if thing["kind"] in kinds
            for replica in range(thing["spec"].get("replicas", 1))
        ]

    def not_run(self) -> dict[str, int]:
        """What is left out, counted by kind."""
        counts = {}
        for thing in self.objects:
            if thing["kind"] in NOT_RUN:
                counts[thing["kind"]] = counts.get(thing["kind"], 0) + 1
        return counts

    def workload(self, thing: dict, replica=0) -> Workload:
        deployment = copy.deepcopy(thing)
        name = deployment["metadata"]["name"]
        self.replicas(deployment, replica)
        pod = f"{deployment['metadata']['name']}-pod-0"
        spec = deployment["spec"]["template"]["spec"]
        done = Workload(name, pod, deployment, grace=spec.get("terminationGracePeriodSeconds", 30))
        self.stateful_set(deployment)
        self.service_names(thing, done)
        host_ports = {} if replica else self.host_ports(thing)
        for container in spec.get("initContainers", []) + spec["containers"]:
            where = f"{name}/{container['name']}"
            self.image(container, where)
            self.environment(container, pod, where)
            self.container_ports(container, host_ports, where)
            done.probes += self.probes(container, where)
        done.memory = spec["containers"][0]["resources"]["limits"]["memory"]
        self.secret_volumes(spec, done)
        self.init_containers(spec, done)
        return done

    def replicas(self, deployment, replica):
        """One Deployment for each, since not every podman makes more than one pod of it."""
        if deployment["spec"].get("replicas", 1) == 1:
            return
        deployment["spec"]["replicas"] = 1
        if replica:
            name = deployment["metadata"]["name"]
            deployment["metadata"]["name"] = f"{name}-{replica}"
            self.note(f"{name}: replica {replica + 1} becomes a Deployment of its own")

    def stateful_set(self, deployment):
        if deployment["kind"] != "StatefulSet":
            return
        name, spec = deployment["metadata"]["name"], deployment["spec"]
        deployment["kind"] = "Deployment"
        spec.pop("serviceName", None)
        for claim in spec.pop("volumeClaimTemplates", []):
            volume = f"{claim['metadata']['name']}-{name}-0"
            pod = spec["template"]["spec"]
            pod.setdefault("volumes", []).append(
                {"name": claim["metadata"]["name"], "persistentVolumeClaim": {"claimName": volume}}
            )
            self.note(f"{name}: its claim becomes the volume {volume}")
        self.note(f"{name}: a StatefulSet becomes a Deployment")

    def service_names(self, thing, done):
        """Services become names on the network. Without a proxy in between, the ports have to be the same."""
        labels = thing["spec"]["template"]["metadata"]["labels"]
        ports = named_ports(thing)
        for service in of_kind(self.objects, "Service"):
            spec = service["spec"]
            if spec.get("type") == "ExternalName" or not selects(spec["selector"], labels):
                continue
            for port in spec["ports"]:
                target = ports.get(port.get("targetPort"), port.get("targetPort"))
                if target != port["port"]:
                    raise ValueError(f"Service {service['metadata']['name']}: nobody translates {port['port']} to {target}")
            done.aliases.append(service["metadata"]["name"])
            self.note(f"{done.name}: the Service {service['metadata']['name']} becomes a name on the cluster's network")

    def host_ports(self, thing) -> dict[tuple[int, str], int]:
        """Node ports of the Services that mean this workload, by port of the container."""
        labels, ports, found = thing["spec"]["template"]["metadata"]["labels"], named_ports(thing), {}
        for service in of_kind(self.objects, "Service"):
            if service["spec"].get("type") != "NodePort" or not selects(service["spec"]["selector"], labels):
                continue
            for port in service["spec"]["ports"]:
                target = ports.get(port["targetPort"], port["targetPort"])
                found[target, port["protocol"]] = port["nodePort"]
        return found

    def image(self, container, where):
        image = container["image"]
        if image not in self.images:
            raise ValueError(f"{where}: there is no local image for {image}")
        container["image"] = self.images[image]
        container["imagePullPolicy"] = "Never"
        if image != self.images[image]:
            self.note(f"{where}: {image} is {self.images[image]}")

    def environment(self, container, pod, where):
        """References to fields and to other variables are resolved; those to Secrets podman resolves itself."""
        fields = {"metadata.name": pod}
        values = {}
        for variable in container.get("env", []):
            source = variable.get("valueFrom", {})
            if "fieldRef" in source:
                variable["value"] = fields[source["fieldRef"]["fieldPath"]]
                del variable["valueFrom"]
                self.note(f"{where}: {variable['name']} is {variable['value']}")
            elif "secretKeyRef" in source:
                reference = source["secretKeyRef"]
                if reference["key"] not in self.secrets[reference["name"]]:
                    raise ValueError(f"{where}: the Secret {reference['name']} has no {reference['key']}")
            value = variable.get("value")
            if value is not None:
                resolved = expanded(value, values)
                if resolved != value:
                    self.note(f"{where}: {variable['name']} is {resolved}")
                variable["value"] = values[variable["name"]] = resolved

    def container_ports(self, container, host_ports, where):
        """podman would publish every one of them on the host."""
        kept = []
        for port in container.pop("ports", []):
            host = host_ports.get((port["containerPort"], port["protocol"]))
            if host is not None:
                kept.append({**port, "hostPort": host})
                self.note(f"{where}: {port['containerPort']}/{port['protocol']} is {host} on the host")
            elif "hostPort" in port:
                self.note(f"{where}: port {port['hostPort']} of the node is the name of the pod on the network kind")
        if kept:
            container["ports"] = kept

    def probes(self, container, where):
        found = []
        for kind in ("livenessProbe", "readinessProbe"):
            probe = container.pop(kind, None)
            if probe is None:
                continue
            if "httpGet" in probe:
                port = self.port_number(container, probe["httpGet"]["port"], where)
                found.append(Probe(kind, port=port, path=probe["httpGet"]["path"]))
            else:
                found.append(Probe(kind, command=probe["exec"]["command"]))
        if found:
            self.note(f"{where}: the test asks its probes")
        return found

    def port_number(self, container, port, where):
        for thing in self.objects:
            if thing["kind"] not in ("Deployment", "StatefulSet"):
                continue
            ports = named_ports(thing)
            if where.startswith(f"{thing['metadata']['name']}/") and port in ports:
                return ports[port]
        raise ValueError(f"{where}: there is no port {port}")

    def secret_volumes(self, spec, done):
        """Files on the host, since podman mounts Secrets with their base64."""
        group = spec["securityContext"]["fsGroup"]
        for volume in spec.get("volumes", []):
            if "secret" not in volume:
                continue
            source = volume.pop("secret")
            content = self.secrets[source["secretName"]]
            items = source.get("items") or [{"key": key, "path": key} for key in content]
            folder = f"{self.folder}/{done.name}-{volume['name']}"
            done.files[folder] = ({item["path"]: content[item["key"]] for item in items}, group)
            volume["hostPath"] = {"path": folder, "type": "Directory"}
            self.note(f"{done.name}: the Secret {source['secretName']} is mounted from files")

    def init_containers(self, spec, done):
        for container in spec.pop("initContainers", []):
            name = f"{done.name}-{container['name']}"
            pod = copy.deepcopy(spec)
            pod["containers"], pod["restartPolicy"] = [container], "Never"
            used = {mount["name"] for mount in container.get("volumeMounts", [])}
            pod["volumes"] = [volume for volume in pod.get("volumes", []) if volume["name"] in used]
            done.first.append({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": pod})
            self.note(f"{done.name}: {container['name']} runs first, as a pod of its own")


def outside_names(clusters: dict[str, list[dict]]) -> dict[str, list[str]]:
    """For every cluster the names by which the others reach the node of its gateway."""
    names = {cluster: [f"{cluster}-control-plane"] for cluster in clusters}
    for objects in clusters.values():
        for service in of_kind(objects, "Service"):
            target = service["spec"].get("externalName", "")
            cluster = target.removesuffix("-control-plane")
            if cluster in names and service["metadata"]["name"].startswith("gateway-"):
                name = service["metadata"]["name"]
                if name not in names[cluster]:
                    names[cluster].append(name)
    return names


def of_kind(objects, kind):
    return [thing for thing in objects if thing["kind"] == kind]


def selects(selector, labels):
    return all(labels.get(key) == value for key, value in selector.items())


def named_ports(thing) -> dict[str, int]:
    containers = thing["spec"]["template"]["spec"]["containers"]
    return {port["name"]: port["containerPort"] for container in containers for port in container.get("ports", [])}


def decoded(secret: dict) -> dict[str, bytes]:
    return {key: base64.b64decode(value) for key, value in secret["data"].items()}


def expanded(value: str, values: dict[str, str]) -> str:
    """As Kubernetes: a name that is not known stays as it is."""
    return re.sub(r"\$\(([A-Za-z_0-9]+)\)", lambda match: values.get(match[1], match[0]), value)
