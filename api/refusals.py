"""What is raised while a request is served, as the answer that its caller gets."""

import logging
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response

from adapters.db.errors import DatabaseError
from adapters.errors import RedisAway, SchemaUnknown
from adapters.passwords import PasswordsBusy
from adapters.redis_client import AWAY
from api.errors import RETRY_AFTER_S, Problem, away, path_of, problem_answer

log = logging.getLogger("artic.hub")


def refusal(request: Request, error: Exception) -> Response:
    """The answer to an exception. What is no refusal is our mistake: it is logged, and the caller
    hears nothing of what it was.
    """
    return problem_answer(request.scope["path"], problem_of(request, error))


def problem_of(request: Request, error: Exception) -> Problem:
    """The same as a problem."""
    if isinstance(error, Problem):
        return error
    for kinds, refused in _REFUSALS:
        if isinstance(error, kinds):
            return refused(error)
    log.error("%s %s failed", request.method, path_of(request.scope), exc_info=error)
    return Problem(500, "the hub made a mistake; it was logged")


def _database_away(error: Exception) -> Problem:
    log.warning("PostgreSQL is away: %s", error)
    return away("the database")


def _redis_away(error: Exception) -> Problem:
    log.warning("Redis is away: %s", error)
    return away("the state store")


def _hub_too_old(error: Exception) -> Problem:
    log.error("the pool was upgraded, this hub was not: %s", error)
    return away("the agent's shard")


def _passwords_busy(error: Exception) -> Problem:
    return Problem(503, f"{error}, try again", headers={"Retry-After": str(RETRY_AFTER_S)})


_REFUSALS: tuple[tuple[tuple[type[Exception], ...], Callable[[Exception], Problem]], ...] = (
    ((PasswordsBusy,), _passwords_busy),
    ((DatabaseError,), _database_away),
    ((RedisAway, *AWAY), _redis_away),
    ((SchemaUnknown,), _hub_too_old),
)
