"""The runner of a run that is ordered: a delegate brings it, or who applies the manifests that are written here."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click
import yaml

from chaos.control.experiments.runner_manifests import (
    TENANT_OF_RUNNER,
    RunIds,
    RunnerPlace,
    collector_image,
    runner_manifests,
    runner_name,
)
from chaos.control.experiments.runs.manifest import read_manifest
from chaos.runner.environment import MOST_AUTHORITY_BYTES, check_authority
from cli.chaos.tenant_api import TenantApi
from cli.manager_api import check_url
from delivery.token_file import read_token
from podsonar import atomic_file
from podsonar.errors import InputError, SettingsError, UsageError
from podsonar.input_file import read_input
from podsonar.settings import InstalledAgents

STDOUT = "-"
# Options that say what stands in the manifests, and nothing to a delegate.
OF_MANIFESTS = ("image", "runner_manager", "directory", "directory_token_file")


def check_delegated(order: Mapping[str, Any], place: Mapping[str, str]) -> None:
    """UsageError for options and members of the file of which nothing would come without manifests."""
    for name in OF_MANIFESTS:
        if place[name]:
            option = f"--{name.replace('_', '-')}"
            raise UsageError(f"{option} is {place[name]!r} without --manifests FILE: expected both or neither")
    if order.get("ownRunner"):
        raise UsageError("ownRunner is true in the file: expected --manifests FILE, which gets the runner's key")


def check_own(
    order: Mapping[str, Any], runs: TenantApi, manifests: str, place: Mapping[str, str], printed: Sequence[str]
) -> None:
    """UsageError for options and members of the file that contradict manifests, or of which no runner would start.

    `printed`: options by which the command prints something else.
    """
    contradicts = {name: order[name] for name in ("delegate", "authority") if order.get(name)}
    if order.get("ownRunner") is False:
        contradicts["ownRunner"] = False
    for name, value in contradicts.items():
        raise UsageError(
            f"{name} is {str(value)[:80]!r} and --manifests is {manifests!r}: expected one of them, since who applies "
            "the manifests brings the runner"
        )
    if not manifests:
        raise UsageError("--manifests is '': expected FILE, or - for the standard output")
    if manifests == STDOUT and printed:
        raise UsageError(f"--manifests is - and {printed[0]} is given: expected FILE, since both print")
    if missing := [name for name in TENANT_OF_RUNNER if not runs.tenant[name]]:
        raise UsageError(f"a runner has a place of its own: expected {' and '.join(f'--{name}' for name in missing)}")
    if (order["experiment"]["spec"].get("windows") is None) is bool(place["directory"]):
        given = f"--directory is {place['directory']!r} and " if place["directory"] else ""
        has = "no spec.windows" if place["directory"] else "spec.windows"
        raise UsageError(f"{given}the experiment has {has}: expected both, with --directory-token-file, or neither")


class RunnerSite(NamedTuple):
    """What a runner's manifests have from the command: URLs inside the cluster, the image, and the agents' token.

    `authority` is the PEM by which pods verify the manager, empty for those of the image.
    """

    manager: str
    authority: str
    image: str
    directory: str
    directory_token: str


def runner_site(runs: TenantApi, place: dict[str, str]) -> RunnerSite:
    """The site of the command's options."""
    base = (place["runner_manager"] or str(runs.api.http.base_url)).rstrip("/")
    check_url(base)
    directory, file = place["directory"].rstrip("/"), place["directory_token_file"]
    if bool(directory) != bool(file):
        raise UsageError("expected --directory and --directory-token-file together")
    authority = read_authority(Path(place["runner_ca_file"])) if place["runner_ca_file"] else ""
    image = place["image"] or collector_image(InstalledAgents().registry)
    return RunnerSite(base, authority, image, directory, read_token(Path(file)) if file else "")


def read_authority(path: Path) -> str:
    """The certificates of a file; InputError for what a runner would not start with."""
    content = read_input(path, "authority file", MOST_AUTHORITY_BYTES, "PEM of certificates")
    try:
        text = content.decode()
        check_authority(text)
    except (UnicodeDecodeError, SettingsError) as error:
        raise InputError(f"authority file {str(path)!r} holds no certificate: expected PEM") from error
    return text


def write_manifests(runs: TenantApi, order: dict[str, Any], made: dict[str, str], site: RunnerSite, place: str) -> None:
    """Write the objects of the run's runner; a file is for its owner alone, since it holds the run's key."""
    manifest = read_manifest(order["experiment"])
    runner = RunnerPlace(
        name=runner_name(made["runID"]),
        namespace=manifest.metadata.namespace,
        image=site.image,
        infra_id=order["infraID"],
        manager=site.manager,
        access_key=made["accessKey"],
        log_token=made["logToken"],
        directory=site.directory,
        directory_token=site.directory_token,
        authority=site.authority,
        account=runs.tenant["account"],
        organization=runs.tenant["organization"],
        project=runs.tenant["project"],
        environment=runs.tenant["environment"],
    )
    ids = RunIds(made["experimentID"], made["runID"], made["notifyID"])
    text = yaml.safe_dump_all(runner_manifests(runner, ids, manifest), sort_keys=False)
    if place == STDOUT:
        click.echo(text, nl=False)
    else:
        atomic_file.write(Path(place), text.encode())
