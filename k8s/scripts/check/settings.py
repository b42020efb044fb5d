"""The environment variables that each binary takes, read from where its source declares them."""

import re
from pathlib import Path

# Image name to the sources that list its settings.
SOURCES = {
    "macula-gateway-service": ["gateway/src/settings.rs"],
    "cortex-iq-simulation": ["bots/simulation/src/config.rs"],
    "cortex-iq-homes": ["bots/homes/src/config.rs"],
    "cortex-iq-utilities": ["bots/utilities/src/config.rs"],
    "cortex-iq-projections": ["bots/projections/src/config.rs"],
    "cortex-iq-queries": ["bots/queries/src/config.rs"],
    "cortex-iq-dashboard": ["bots/dashboard/src/config.rs"],
}
SHARED = ["bots/shell/src/settings.rs", "bots/shell/src/admin.rs"]

DECLARED = re.compile(r'Setting\s*\{\s*name:\s*"([A-Z_]+)"')


def declared(root: Path, sources: list[str]) -> set[str]:
    found = set()
    for source in sources:
        file = root / source
        if file.is_file():
            found |= set(DECLARED.findall(file.read_text()))
    return found


def settings(root: Path) -> dict[str, set[str]]:
    """For every image of ours the names it understands. `root` is the repository."""
    shared = declared(root, SHARED)
    if not shared:
        raise SystemExit(f"{SHARED[0]}: no settings found; has the declaration moved?")
    result = {}
    for image, sources in SOURCES.items():
        own = declared(root, sources)
        if not own:
            raise SystemExit(f"{sources[0]}: no settings found; has the declaration moved?")
        result[image] = own if image == "macula-gateway-service" else own | shared
    return result
