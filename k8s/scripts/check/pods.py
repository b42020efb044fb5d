"""Whether each pod is complete in itself: ports, probes, volumes, environment, images, resources."""

import re

from .objects import WORKLOADS, containers, name, of_kind, pod_template

REGISTRY = "registry.macula.local:5000/macula/"
# Secrets and their keys, as scripts/create-secrets.sh makes them.
SECRETS = {
    "macula-mesh-tls": {"tls.crt", "tls.key", "ca.crt"},
    "cortex-iq-database": {"username", "password", "url"},
    "cortex-iq-dashboard": {"secret-key-base", "password"},
    "macula-admin": {"token"},
    "grafana": {"password"},
}
FIELDS = {"metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "status.podIP", "status.hostIP"}
QUANTITY = re.compile(r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$")
FACTORS = {"": 1, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
SECRET_NAME = re.compile(r"(PASSWORD|TOKEN|SECRET|_KEY|DATABASE_URL)")


def check_pods(objects: list[dict], known: dict[str, set[str]]) -> list[str]:
    """`known`: names of settings by image."""
    problems = []
    for workload in of_kind(objects, *WORKLOADS):
        for problem in check_pod(objects, workload, known):
            problems.append(f"{name(workload)}: {problem}")
    return problems


def check_pod(objects, workload, known):
    template = pod_template(workload)
    spec = template["spec"]
    if workload["kind"] != "CronJob":
        selector = workload["spec"]["selector"]["matchLabels"]
        for key, value in selector.items():
            if template["metadata"].get("labels", {}).get(key) != value:
                yield f"the selector {key}={value} is no label of its pods"
    if spec.get("enableServiceLinks") is not False:
        yield "enableServiceLinks has to be false: Kubernetes would set MACULA_GATEWAY_SERVICE_PORT and the like"
    volumes = volume_names(workload, spec)
    yield from check_volumes(objects, spec)
    for container in containers(workload):
        first = container in spec.get("initContainers", [])
        for problem in check_container(container, volumes, known, first or workload["kind"] == "CronJob"):
            yield f"container {container['name']}: {problem}"


def volume_names(workload, spec):
    names = {volume["name"] for volume in spec.get("volumes", [])}
    claims = workload["spec"].get("volumeClaimTemplates", [])
    return names | {claim["metadata"]["name"] for claim in claims}


def check_volumes(objects, spec):
    maps = {thing["metadata"]["name"] for thing in of_kind(objects, "ConfigMap")}
    claims = {thing["metadata"]["name"] for thing in of_kind(objects, "PersistentVolumeClaim")}
    for volume in spec.get("volumes", []):
        where = f"volume {volume['name']}"
        if "configMap" in volume and volume["configMap"]["name"] not in maps:
            yield f"{where}: there is no ConfigMap {volume['configMap']['name']}"
        if "persistentVolumeClaim" in volume and volume["persistentVolumeClaim"]["claimName"] not in claims:
            yield f"{where}: there is no claim {volume['persistentVolumeClaim']['claimName']}"
        if "secret" in volume:
            secret = volume["secret"]
            for item in secret.get("items", [{}]):
                yield from check_secret(where, secret["secretName"], item.get("key"))
            if secret.get("defaultMode", 0o644) & 0o007:
                yield f"{where}: everybody may read the Secret; set defaultMode 0440"


def check_secret(where, secret, key):
    if secret not in SECRETS:
        yield f"{where}: create-secrets.sh makes no Secret {secret}"
    elif key is not None and key not in SECRETS[secret]:
        yield f"{where}: the Secret {secret} has no key {key}"


def check_container(container, volumes, known, short_lived):
    ports = {port.get("name"): port for port in container.get("ports", [])}
    for port in container.get("ports", []):
        for field in ("containerPort", "hostPort"):
            if field in port and not 0 < port[field] < 65536:
                yield f"port {port[field]} is no port"
        wanted = "UDP" if port["containerPort"] == 9443 or port.get("name") == "quic" else "TCP"
        if port.get("protocol") != wanted:
            yield f"port {port['containerPort']} has to be {wanted}"
    for mount in container.get("volumeMounts", []):
        if mount["name"] not in volumes:
            yield f"{mount['mountPath']}: there is no volume {mount['name']}"
    yield from check_image(container["image"])
    yield from check_environment(container, known)
    yield from check_resources(container.get("resources", {}))
    if not short_lived:
        yield from check_probes(container, ports)


def check_image(image):
    tag = image.rsplit("/", 1)[-1].partition(":")[2]
    if not tag or tag == "latest":
        yield f"image {image}: give it a version"
    if "macula/" in image and not image.startswith(REGISTRY):
        yield f"image {image}: does not come from {REGISTRY}; is components/release missing?"


def check_environment(container, known):
    image = container["image"].rsplit("/", 1)[-1].partition(":")[0]
    seen = set()
    for variable in container.get("env", []):
        own, value = variable["name"], variable.get("value")
        if own in seen:
            yield f"{own} is set twice"
        for reference in re.findall(r"\$\(([A-Za-z_0-9]+)\)", value or ""):
            if reference not in seen:
                yield f"{own} refers to {reference}, which is not set before it"
        seen.add(own)
        # Names for $(…) are of no binary.
        helper = f"$({own})" in str([other.get("value") for other in container["env"]])
        if image in known and own not in known[image] and not helper:
            yield f"{own} is no setting of {image}"
        if value is not None and SECRET_NAME.search(own) and not is_path(value):
            yield f"{own} is a secret in clear; take it from a Secret"
        source = variable.get("valueFrom", {})
        if "secretKeyRef" in source:
            yield from check_secret(own, source["secretKeyRef"]["name"], source["secretKeyRef"]["key"])
        if "fieldRef" in source and source["fieldRef"]["fieldPath"] not in FIELDS:
            yield f"{own}: there is no field {source['fieldRef']['fieldPath']}"


def is_path(value: str) -> bool:
    return value.startswith("/")


def amount(quantity: str) -> float:
    number, unit = re.match(r"([0-9.]+)(.*)", quantity).groups()
    return float(number) * FACTORS[unit]


def check_resources(resources):
    requests, limits = resources.get("requests", {}), resources.get("limits", {})
    for needed, given in (("memory", requests), ("cpu", requests), ("memory", limits)):
        if needed not in given:
            yield f"{'limits' if given is limits else 'requests'}.{needed} is missing"
    for quantity in [*requests.values(), *limits.values()]:
        if not QUANTITY.match(str(quantity)):
            yield f"{quantity} is no quantity"
            return
    for key, limit in limits.items():
        if key in requests and amount(str(requests[key])) > amount(str(limit)):
            yield f"requests more {key} than its limit"


def check_probes(container, ports):
    for kind in ("livenessProbe", "readinessProbe"):
        probe = container.get(kind)
        if probe is None:
            yield f"{kind} is missing"
        elif "httpGet" in probe:
            port = ports.get(probe["httpGet"]["port"])
            if port is None:
                yield f"{kind}: there is no port {probe['httpGet']['port']}"
            elif port.get("protocol") != "TCP":
                yield f"{kind}: HTTP needs TCP"
        elif "exec" not in probe:
            yield f"{kind}: a port that is open says nothing; ask by httpGet or exec"
    liveness = container.get("livenessProbe", {})
    patience = liveness.get("periodSeconds", 10) * liveness.get("failureThreshold", 3)
    if container["name"] == "gateway" and patience < 60:
        yield f"livenessProbe: a gateway is given a minute, not {patience} s"
