"""The way to a Redis that processes share: one client, and one sentence where there is none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from langchain_tale.errors import ConfigurationError

if TYPE_CHECKING:
    import redis

_NO_URL: Final = "{what} no Redis URL; write it like redis://localhost:6379/0."
_NO_REDIS: Final = "{what} needs an extra: pip install 'langchain-tale[scale]'."


def redis_client(url: str, *, patience_s: float, of: str, needed_by: str) -> redis.Redis:
    """A client that connects when it is first used, and does not try again by itself.

    Args:
        url: `redis://`, `rediss://` or `unix://`; `?socket_timeout=` sets another patience.
        patience_s: Seconds to wait for an answer.
        of: How a sentence about a wrong URL begins, e.g. `"This is"`.
        needed_by: What a missing extra is missed by.

    Raises:
        ConfigurationError: The extra is missing, or `url` is none.
    """
    try:
        import redis  # noqa: PLC0415 (an extra)
        from redis.backoff import NoBackoff  # noqa: PLC0415 (an extra)
        from redis.retry import Retry  # noqa: PLC0415 (an extra)
    except ImportError:
        raise ConfigurationError(_NO_REDIS.format(what=needed_by)) from None
    try:
        client = redis.Redis.from_url(
            url,
            socket_timeout=patience_s,
            socket_connect_timeout=patience_s,
            retry=Retry(NoBackoff(), 0),  # the pool itself replaces connections that died idle
        )
        pool = client.connection_pool
        pool.connection_class(**pool.connection_kwargs)  # an unknown option shows only here
    except (ValueError, TypeError, redis.RedisError):
        raise ConfigurationError(_NO_URL.format(what=of)) from None
    return client
