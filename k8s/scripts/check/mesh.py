"""Whether the four clusters fit each other: who runs where, and whether every gateway dials every other."""

from .network import NODE_PORTS, node_ports
from .objects import containers, of_kind

GATEWAYS = {
    "macula-hub": "gateway-hub",
    "be-antwerp": "gateway-antwerp",
    "be-brabant": "gateway-brabant",
    "be-east-flanders": "gateway-efl",
}
REGIONS = {"be-antwerp": "antwerp", "be-brabant": "brabant", "be-east-flanders": "east-flanders"}
HUB_APPS = {"cortex-iq-simulation", "cortex-iq-projections", "cortex-iq-queries", "cortex-iq-dashboard"}
REGION_APPS = {"cortex-iq-homes", "cortex-iq-utilities"}


def environment(objects, deployment: str) -> dict:
    for thing in of_kind(objects, "Deployment"):
        if thing["metadata"]["name"] == deployment:
            return {variable["name"]: variable.get("value") for variable in containers(thing)[-1].get("env", [])}
    return {}


def check_mesh(clusters: dict[str, list[dict]]) -> list[str]:
    """`clusters`: all objects of each cluster, by its name."""
    problems = []
    for cluster, objects in clusters.items():
        problems += [f"{cluster}: {problem}" for problem in check_cluster(cluster, objects)]
    return problems


def check_cluster(cluster, objects):
    gateway = environment(objects, "macula-gateway-service")
    peers = set(filter(None, (gateway.get("MESH_PEERS") or "").split(",")))
    wanted = {f"https://{host}:9443" for other, host in GATEWAYS.items() if other != cluster}
    for peer in sorted(wanted - peers):
        yield f"MESH_PEERS lacks {peer}"
    for peer in sorted(peers - wanted):
        yield f"MESH_PEERS has {peer}, which is no other gateway"
    if gateway.get("CLUSTER") != cluster:
        yield f"the gateway takes itself for one of {gateway.get('CLUSTER')}"
    if gateway.get("MACULA_ADVERTISE") != f"{GATEWAYS[cluster]}:9443":
        yield f"the gateway advertises {gateway.get('MACULA_ADVERTISE')}"
    yield from check_names(objects)
    yield from check_apps(cluster, objects)
    ports = node_ports(objects)
    if cluster == "macula-hub" and ports != NODE_PORTS:
        yield f"the hub gives {sorted(ports)} to the host, it has to be {sorted(NODE_PORTS)}"
    if cluster != "macula-hub" and ports:
        yield f"a region gives {sorted(ports)} to the host"


def check_names(objects):
    """Every gateway has a name that leads to the node of its cluster."""
    services = {thing["metadata"]["name"]: thing["spec"] for thing in of_kind(objects, "Service")}
    for cluster, host in GATEWAYS.items():
        target = services.get(host, {}).get("externalName")
        if target != f"{cluster}-control-plane":
            yield f"{host} leads to {target} and not to the node of {cluster}"
    for thing in of_kind(objects, "Deployment"):
        if thing["metadata"]["name"] == "macula-gateway-service":
            ports = [port for container in containers(thing) for port in container["ports"]]
            if not any(port.get("hostPort") == 9443 and port["protocol"] == "UDP" for port in ports):
                yield "the gateway is not at UDP 9443 of its node"


def check_apps(cluster, objects):
    apps = {thing["metadata"]["name"] for thing in of_kind(objects, "Deployment")}
    found = {app for app in apps if app.startswith("cortex-iq-")}
    wanted = HUB_APPS if cluster == "macula-hub" else REGION_APPS
    if found != wanted:
        yield f"runs {sorted(found)}, the seed document says {sorted(wanted)}"
    has_database = any(thing["metadata"]["name"] == "postgres" for thing in of_kind(objects, "StatefulSet"))
    if has_database != (cluster == "macula-hub"):
        yield "PostgreSQL belongs to the hub and nowhere else"
    for app in wanted & REGION_APPS:
        region = environment(objects, app).get("CORTEXIQ_REGION")
        if region != REGIONS[cluster]:
            yield f"{app} takes itself for one of {region}"
    for app in wanted:
        url = environment(objects, app).get("MACULA_URL")
        if url != "https://macula-gateway-service:9443":
            yield f"{app} connects to {url} and not to the gateway of its cluster"


def check_kind(configs: dict[str, dict]) -> list[str]:
    """KinD's own files hand through the ports that the Services open, with the same protocol."""
    problems = []
    for cluster, config in configs.items():
        mappings = {
            (mapping["containerPort"], mapping.get("protocol", "TCP"))
            for node in config["nodes"]
            for mapping in node.get("extraPortMappings", [])
        }
        # Metrics of the regions stay between the clusters.
        wanted = NODE_PORTS - {(30090, "TCP")} if cluster == "macula-hub" else set()
        if mappings != wanted:
            problems.append(f"kind/{cluster}.yaml: maps {sorted(mappings)}, it has to be {sorted(wanted)}")
        if config["name"] != cluster:
            problems.append(f"kind/{cluster}.yaml: is called {config['name']}")
    return problems
