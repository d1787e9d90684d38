"""`podsonar chaos`: plan a fault from observed edges, and judge what it did by the map."""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import click
import msgspec
import orjson

from chaos.control.judge.guards import GuardInput, check_guards
from chaos.control.judge.hypothesis import Hypothesis, read_hypothesis
from chaos.control.judge.observed_edges import observe
from chaos.control.judge.prediction import PlannedFault, Prediction, predict
from chaos.control.judge.report import judge, prediction_json, report_json, report_text
from chaos.control.judge.verdict import Outcome
from chaos.guard_settings import GuardSettings
from cli.chaos.runs import list_command, report_command, run_command, stop_command
from cli.chaos.yaml_file import FILE, read_yaml
from cli.manager_api import ManagerApi, manager_options
from podsonar.errors import InputError, UsageError
from podsonar.input_file import read_input
from podsonar.logs_and_probes import escape

MAP_BYTES = 256 << 20
EXIT_OF = {Outcome.PASS: 0, Outcome.FAIL: 1, Outcome.NOT_AVAILABLE: 4}


class Experiment(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """An experiment file; `judge` needs the hypothesis alone."""

    fault: str = ""
    target: dict[str, Any] = {}
    affected_percentage: int = 100
    hops: int = 4
    duration_seconds: Annotated[int, msgspec.Meta(ge=1)] = 60
    guards: GuardSettings = GuardSettings()
    hypothesis: dict[str, Any] = {}

    def planned(self, place: str) -> PlannedFault:
        """The fault; InputError names the member."""
        given = {
            "fault": self.fault,
            "target": self.target,
            "affectedPercentage": self.affected_percentage,
            "hops": self.hops,
        }
        try:
            return msgspec.convert(given, PlannedFault)
        except msgspec.ValidationError as error:
            raise InputError(f"{place}: {error}") from error


def read_experiment(path: Path) -> Experiment:
    """An experiment file in YAML or JSON; InputError names file, member and expectation."""
    found = read_yaml(path, "experiment file", "YAML with `hypothesis`")
    try:
        return msgspec.convert(found, Experiment)
    except msgspec.ValidationError as error:
        raise InputError(f"experiment file {str(path)!r}: {error}") from error


def read_maps(names: Sequence[str], api: ManagerApi | None) -> list[dict[str, Any]]:
    """The maps of windows: `@FILE` is the JSON of a map, anything else a window of the manager."""
    found = []
    for name in names:
        if name.startswith("@"):
            content = read_input(Path(name[1:]), "map file", MAP_BYTES, "the JSON of one window's map")
            try:
                found.append(orjson.loads(content))
            except orjson.JSONDecodeError as error:
                raise InputError(f"map file {name[1:]!r} is not JSON: {error}; expected one window's map") from error
        elif api is None:
            raise UsageError(f"window {name!r} wants --manager URL; expected that, or `@FILE` with the map's JSON")
        else:
            found.append(api.map(name))
    return found


@click.group()
def chaos() -> None:
    """Plan experiments by what was observed, and judge them by it."""


@chaos.command("judge")
@manager_options
@click.option("--baseline", multiple=True, required=True, metavar="WINDOW", help="Window id, `latest`, or @FILE.")
@click.option("--fault", multiple=True, required=True, metavar="WINDOW", help="A window in which the fault was on.")
@click.option("--recovery", multiple=True, metavar="WINDOW", help="A window after the fault.")
@click.option("--hypothesis", "file", required=True, type=FILE, help="YAML: which edges break, hold, degrade.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def judge_command(
    api: ManagerApi | None,
    baseline: tuple[str, ...],
    fault: tuple[str, ...],
    recovery: tuple[str, ...],
    file: Path,
    as_json: bool,
) -> None:
    """Judge what a fault did, whatever tool made it. Exit 0: Pass, 1: Fail, 4: N/A."""
    if api is not None:
        api.exit_code = EXIT_OF[Outcome.NOT_AVAILABLE]
    experiment = read_experiment(file)
    hypothesis = hypothesis_of(experiment, file)
    before, then, after = (read_maps(names, api) for names in (baseline, fault, recovery))
    prediction = prediction_of(experiment, before, file) if experiment.fault else None
    judgement = judge(before, then, hypothesis, after, prediction)
    report = report_json(judgement)
    show(report, report_text(report), as_json)
    sys.exit(EXIT_OF[judgement.verdict.outcome])


@chaos.command("plan")
@manager_options
@click.option("--baseline", multiple=True, required=True, metavar="WINDOW", help="Window id, `latest`, or @FILE.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.argument("file", type=FILE)
def plan_command(api: ManagerApi | None, baseline: tuple[str, ...], file: Path, as_json: bool) -> None:
    """Show what a fault would touch, and which guards refuse it. FILE has the fault. Exit code 0: none, 3: one does."""
    experiment = read_experiment(file)
    maps = read_maps(baseline, api)
    planned, seen = experiment.planned(str(file)), observe(maps)
    found = predict(planned, seen)
    results = check_guards(GuardInput(planned, experiment.duration_seconds, found, seen, experiment.guards))
    guards = [{"rule": one.rule, "result": one.result, "sentence": one.sentence} for one in results]
    document = {"fault": planned.fault, "prediction": prediction_json(found), "guards": guards}
    show(document, plan_text(document), as_json)
    sys.exit(3 if any(one.result == "failed" for one in results) else 0)


def hypothesis_of(experiment: Experiment, file: Path) -> Hypothesis:
    """The hypothesis of a file."""
    return read_hypothesis(experiment.hypothesis, f"experiment file {str(file)!r}")


def prediction_of(experiment: Experiment, baseline: list[dict[str, Any]], file: Path) -> Prediction:
    """What the file's fault was expected to touch, from the baseline."""
    return predict(experiment.planned(str(file)), observe(baseline))


def plan_text(plan: dict[str, Any]) -> Iterable[str]:
    """The lines of a plan."""
    prediction = plan["prediction"]
    yield f"{plan['fault']}: {prediction['summary']}"
    yield from (f"  {one['effect']}: {one['edge']}" for one in prediction["direct"])
    yield from (f"  exposed: {name}, {hops} hops away" for name, hops in prediction["exposed"].items())
    yield from (f"  unknown: {sentence}" for sentence in prediction["unknown"])
    yield from (f"guard {one['result']}: {one['rule']}: {one['sentence']}" for one in plan["guards"])


def show(document: dict[str, Any], lines: Iterable[str], as_json: bool) -> None:
    """Print JSON or text; names of foreign origin cannot control the terminal."""
    if as_json:
        click.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode())
        return
    for line in lines:
        click.echo(escape(line))


for command in (run_command, list_command, stop_command, report_command):
    chaos.add_command(command)
