"""A travel agency of sixteen services with planted weaknesses, which the map does not show before they matter.

visitors → web → search  → fares → exchange (five tries at once: a retry storm)
                            └ archive → storage (a hidden fallback: only when fares fails)
                         → flights → storage
               → profile → sessions (a pool: one connection that stays open)
               → reviews → storage
               → booking (three tries) → seats, payment → bank, ledger (hard dependencies, in this order)
                                       → mail
"""

from lab.applications.application import Application, Service, Workload
from lab.applications.behaviour import Behaviour, Call, Root

NAMESPACE = "travel"
PORT = 8080
PER_SECOND = 6.0
HOSTS = {
    "web": (30,),
    "search": (31, 32),
    "fares": (33,),
    "exchange": (34,),
    "archive": (35,),
    "flights": (36,),
    "storage": (37,),
    "booking": (38,),
    "seats": (39, 40),
    "payment": (41,),
    "bank": (42,),
    "ledger": (43,),
    "mail": (44,),
    "profile": (45,),
    "sessions": (46,),
    "reviews": (47,),
}
APPLICATION = Application(
    NAMESPACE,
    (Workload("visitors", (48,)), *(Workload(name, hosts, (PORT,)) for name, hosts in HOSTS.items())),
    [Service(name, name, f"10.96.8.{hosts[0]}", PORT) for name, hosts in HOSTS.items()],
)
TRAVEL = Behaviour(
    APPLICATION,
    serves={
        "web": [
            Call("search"),
            Call("profile", required=False),
            Call("reviews", required=False),
            Call("booking", tries=3),
        ],
        "search": [Call("fares", fallback=Call("archive")), Call("flights")],
        "fares": [Call("exchange", tries=5)],
        "archive": [Call("storage")],
        "flights": [Call("storage")],
        "reviews": [Call("storage", required=False)],
        "booking": [Call("seats"), Call("payment"), Call("mail", required=False)],
        "payment": [Call("bank"), Call("ledger")],
        "profile": [Call("sessions", pooled=True)],
    },
    begins={"visitors": [Root(PER_SECOND, [Call("web")])]},
)
