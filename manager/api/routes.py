"""The document's operations and their handlers; the paths, methods and parameters are the document's own."""

import re
from typing import NamedTuple

from starlette.routing import Route

from manager.api.endpoint import Api, Handler, endpoint
from manager.api.resources.agent_tokens import AgentTokens
from manager.api.resources.agents import Agents
from manager.api.resources.connections import ReadHandlers
from manager.api.resources.discovered_services import DiscoveredServices
from manager.api.resources.installations import Installations
from manager.api.resources.network_maps import NetworkMaps
from manager.api.resources.objects import Objects
from manager.api.resources.settings import Settings
from manager.schema.document import operations
from manager.store.tokens.token_format import Scope

# The document's names of operations that list objects -> kind.
KIND_OPERATIONS = {
    "listNamespace": "Namespace",
    "listNode": "Node",
    "listService": "Service",
    "listPod": "Pod",
    "listReplicaSet": "ReplicaSet",
    "listReplicationController": "ReplicationController",
    "listDeployment": "Deployment",
    "listStatefulSet": "StatefulSet",
    "listDeamonset": "DaemonSet",
    "listJob": "Job",
    "listCronjob": "CronJob",
}


class Handled(NamedTuple):
    """The handler of an operation, and the scope that its key needs."""

    handler: Handler
    scope: Scope = "read"


def map_operations(maps: NetworkMaps) -> dict[str, Handled]:
    """Operations of network maps, in both spellings."""
    found: dict[str, Handled] = {}
    for name in ("NetworkMap", "ApplicationMap"):
        lower = name[0].lower() + name[1:]
        found |= {
            f"list{name}": Handled(maps.list_maps),
            f"create{name}": Handled(maps.create_map, "admin"),
            f"get{name}": Handled(maps.get_map),
            f"update{name}": Handled(maps.update_map, "admin"),
            f"delete{name}": Handled(maps.delete_map, "admin"),
            f"save{name}": Handled(maps.save_map, "admin"),
            f"{lower}AutoGroup": Handled(maps.group_map, "admin"),
        }
    return found | {
        "listDiscoveredServiceForANetworkMap": Handled(maps.list_services),
        "listDiscoveredServiceForApplicationMap": Handled(maps.list_services),
        "removeStaleServicesFromApplicationMap": Handled(maps.remove_stale, "admin"),
    }


def handled_operations(api: Api, reads: ReadHandlers) -> dict[str, Handled]:
    """Every operation of the document by its id."""
    agents, tokens, settings = Agents(api), AgentTokens(api), Settings(api)
    objects, services, installations = Objects(api), DiscoveredServices(api), Installations(api)
    return {
        "listAgent": Handled(agents.list_agents),
        "createAgent": Handled(agents.create_agent, "admin"),
        "getAgent": Handled(agents.get_agent),
        "updateAgent": Handled(agents.update_agent, "admin"),
        "deleteAgent": Handled(agents.delete_agent, "admin"),
        "getInfrastructureForAgent": Handled(agents.get_agent),
        "listInfrastructure": Handled(agents.list_infrastructures),
        "getAgentToken": Handled(tokens.get_agent_token, "admin"),
        "listInstallation": Handled(installations.list_page),
        "createInstallation": Handled(installations.create, "admin"),
        "getInstallation": Handled(installations.get_installation),
        "stopOngoingDiscovery": Handled(installations.stop, "admin"),
        "listConnection": Handled(reads.connections),
        "listConnectionOfAPod": Handled(reads.connections),
        "listContainerOfAPod": Handled(objects.list_containers),
        "listPVCOfAPod": Handled(objects.list_volumes),
        "listDiscoveredService": Handled(services.list_discovered_services),
        "getDiscoveredService": Handled(services.get_discovered_service),
        "getServiceForDiscoveredService": Handled(services.get_service),
        "listPodForDiscoveredService": Handled(services.list_pods),
        "getPodForDiscoveredService": Handled(services.get_pod),
        "listDiscoveredServiceConnection": Handled(reads.discovered_connections),
        "getSetting": Handled(settings.get_setting),
        "saveSetting": Handled(settings.save_setting, "admin"),
        "resetImageRegistrySetting": Handled(settings.reset_image_registry_setting, "admin"),
        **{name: Handled(objects.list_of(kind)) for name, kind in KIND_OPERATIONS.items()},
        **map_operations(NetworkMaps(api, services, reads.edges_of)),
    }


def snake_case(path: str) -> str:
    """The path with its parameters' names in our spelling."""
    return re.sub(r"(?<=[a-z])([A-Z]+)(?=[^{}]*\})", lambda match: f"_{match[1].lower()}", path)


def document_routes(api: Api, reads: ReadHandlers, prefix: str) -> list[Route]:
    """A route per operation of the document below a prefix."""
    handled = handled_operations(api, reads)
    paths = [(snake_case(one.path), one) for one in operations()]
    # The document spells one path `/nfras/…`; it is where its neighbours are, too.
    paths += [(path.replace("/nfras/", "/agents/"), one) for path, one in paths if path.startswith("/nfras/")]
    return [
        Route(prefix + path, endpoint(api, handled[one.id].handler, handled[one.id].scope, one), methods=[one.method])
        for path, one in paths
    ]
