"""A transaction that another one was in the way of is begun anew: nothing of it was stored."""

from tenacity import retry, retry_if_exception_type, stop_after_attempt

from podsonar.errors import StoreConflictError

at_conflicts = retry(retry=retry_if_exception_type(StoreConflictError), stop=stop_after_attempt(5), reraise=True)
