"""What a pod that the delegate applies may hold: no more than Podsonar's own pods. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

# Of a DaemonSet, the node agent, alone (docs/security.md), beside the node's pid namespace.
CAPABILITIES = {"BPF", "PERFMON", "SETUID", "SETGID"}
VOLUMES = {"configMap", "secret", "emptyDir", "downwardAPI"}
HOST_NAMESPACES = ("hostNetwork", "hostIPC")
POD_FIELDS = {
    "serviceAccountName",
    "serviceAccount",
    "automountServiceAccountToken",
    "enableServiceLinks",
    "hostNetwork",
    "hostPID",
    "hostIPC",
    "hostUsers",
    "terminationGracePeriodSeconds",
    "priorityClassName",
    "securityContext",
    "containers",
    "volumes",
    "nodeSelector",
    "tolerations",
    "affinity",
    "imagePullSecrets",
    "restartPolicy",
    "dnsPolicy",
    "activeDeadlineSeconds",
    "topologySpreadConstraints",
}
CONTAINER_FIELDS = {
    "name",
    "image",
    "imagePullPolicy",
    "args",
    "env",
    "ports",
    "startupProbe",
    "livenessProbe",
    "readinessProbe",
    "securityContext",
    "resources",
    "volumeMounts",
    "terminationMessagePolicy",
}
POD_SECURITY = {"runAsNonRoot", "runAsUser", "runAsGroup", "fsGroup", "fsGroupChangePolicy", "seccompProfile"}
CONTAINER_SECURITY = {
    "readOnlyRootFilesystem",
    "runAsUser",
    "runAsGroup",
    "runAsNonRoot",
    "allowPrivilegeEscalation",
    "capabilities",
    "seccompProfile",
    "privileged",
}


def pod_refusals(
    spec: Mapping[str, Any], image_prefixes: Sequence[str], secrets: set[str], *, on_every_node: bool
) -> Iterator[str]:
    """Why a pod may not run, one sentence per reason; nothing for a pod that may.

    `secrets` are those that it may mount; `on_every_node`: it is a DaemonSet's. What is not known is refused: a new
    field may be a new privilege.
    """
    capabilities = CAPABILITIES if on_every_node else set()
    if not on_every_node and spec.get("hostPID"):
        yield "hostPID is true, expected false"
    if not on_every_node and mapping(spec.get("securityContext")).get("runAsNonRoot") is not True:
        yield "runAsNonRoot is not true"
    yield from unknown("pod field", spec, POD_FIELDS)
    yield from (f"{name} is true, expected false" for name in HOST_NAMESPACES if spec.get(name))
    yield from security_refusals("pod", mapping(spec.get("securityContext")), POD_SECURITY)
    for volume in dicts(spec.get("volumes")):
        kinds = set(volume) - {"name"}
        yield from (f"volume of type {kind}, expected one of {', '.join(sorted(VOLUMES))}" for kind in kinds - VOLUMES)
        secret = mapping(volume.get("secret")).get("secretName")
        if "secret" in volume and secret not in secrets:
            yield f"volume of Secret {secret!r}, which is neither in the list nor named by its prefix"
    containers = dicts(spec.get("containers"))
    if not containers:
        yield "no container"
    for container in containers:
        yield from container_refusals(container, image_prefixes, secrets)
        yield from privilege_refusals(mapping(container.get("securityContext")), capabilities)


def container_refusals(container: Mapping[str, Any], image_prefixes: Sequence[str], secrets: set[str]) -> Iterator[str]:
    """Why a container may not run."""
    yield from unknown("container field", container, CONTAINER_FIELDS)  # `command` too: an image runs its own program
    image = container.get("image")
    if not isinstance(image, str) or not image.startswith(tuple(image_prefixes)) or not image_prefixes:
        yield f"image {image!r}, expected one that begins with {' or '.join(image_prefixes) or 'a configured prefix'}"
    for port in dicts(container.get("ports")):
        if port.get("hostPort"):
            yield f"host port {port['hostPort']}"
    yield from source_refusals(container, secrets)


def source_refusals(container: Mapping[str, Any], secrets: set[str]) -> Iterator[str]:
    """Why a container may not read what it wants to, or run what its probes run."""
    for name in ("startupProbe", "livenessProbe", "readinessProbe"):
        if "exec" in mapping(container.get(name)):
            yield f"{name} with exec"
    for variable in dicts(container.get("env")):
        source = mapping(variable.get("valueFrom"))
        secret = mapping(source.get("secretKeyRef")).get("name")
        if set(source) - {"fieldRef", "resourceFieldRef", "secretKeyRef", "configMapKeyRef"}:
            yield f"environment variable {variable.get('name')!r} from an unknown source"
        if "secretKeyRef" in source and secret not in secrets:
            yield f"environment variable of Secret {secret!r}, which is neither in the list nor named by its prefix"


def privilege_refusals(security: Mapping[str, Any], known: set[str]) -> Iterator[str]:
    """Why a container's privileges are more than ours."""
    yield from security_refusals("container", security, CONTAINER_SECURITY)
    if security.get("privileged"):
        yield "privileged container"
    if security.get("allowPrivilegeEscalation") is not False:
        yield "allowPrivilegeEscalation is not false"
    capabilities = mapping(security.get("capabilities"))
    if capabilities.get("drop") != ["ALL"]:
        yield "capabilities are not dropped, expected drop: [ALL]"
    added = capabilities.get("add") or []
    yield from (f"capability {name!r}" for name in added if name not in known)


def security_refusals(place: str, security: Mapping[str, Any], known: set[str]) -> Iterator[str]:
    """Why a security context is refused."""
    yield from unknown(f"{place} securityContext field", security, known)
    profile = mapping(security.get("seccompProfile"))
    if profile and profile.get("type") not in ("RuntimeDefault", "Localhost"):
        yield f"{place} seccomp profile {profile.get('type')!r}, expected RuntimeDefault or Localhost"


def unknown(what: str, given: Mapping[str, Any], known: set[str]) -> Iterator[str]:
    """A sentence per member that is set and not known."""
    yield from (f"{what} {name!r}" for name in sorted(set(given) - known))


def mapping(value: object) -> Mapping[str, Any]:
    """The value if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def dicts(value: object) -> list[Mapping[str, Any]]:
    """The objects of a list; one for each that is none, so that nothing is passed over."""
    return [mapping(item) for item in value] if isinstance(value, list) else []
