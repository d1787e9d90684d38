"""Parts of the manager's process that other packages bring: routes and loops over the same store.

The manager imports none of them; the command passes them at start.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from starlette.routing import BaseRoute

from manager.history.window_maps import WindowMaps
from manager.http.request_bodies import RequestBodies
from manager.installations.handout import RunWire
from manager.maintenance_loops import MaintenanceLoop
from manager.metrics import ManagerMetrics
from manager.store.database import Store


@dataclass(frozen=True, slots=True)
class PartContext:
    """What a part is made with; `maps` of windows, `bodies` the room for requests.

    Times are nanoseconds since 1970; `retention_days` by settings.
    """

    store: Store
    metrics: ManagerMetrics
    clock: Callable[[], int]
    retention_days: int
    maps: WindowMaps
    bodies: RequestBodies = field(default_factory=RequestBodies)


@dataclass(frozen=True, slots=True)
class PartRoutes:
    """What a part adds; each loop, by one of the names of `LOOPS`, runs until the end of the process.

    `of_run` completes tasks of delegates that are of an experiment's run.
    """

    routes: Sequence[BaseRoute]
    loops: Mapping[str, MaintenanceLoop] = field(default_factory=dict)
    of_run: RunWire | None = None


Part = Callable[[PartContext], PartRoutes]
