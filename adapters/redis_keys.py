"""Every Redis key of the pool, in one place, with its type and how long it lives.

Keys that are written together share one hash tag, so that state may live in a Redis
cluster: one tag for each shard, one for the market. No script touches two tags.
docs/redis-keys.md is the same list in prose.
"""

PREFIX = "artic:"

TICK_PARTITIONS = 8
"""Queues of tick jobs. Two arq workers on one queue are no faster than one, so each has its own."""

FRAME_TTL_S = 600
"""How long frames, signals, readings and the windows they name are kept."""


def _shard(shard: int, name: str) -> str:
    return f"{PREFIX}{{s{shard}}}:{name}"


def shard_head(shard: int) -> str:
    """Hash: version, slot, next_due, schema, run_id, skipped, folded_slot, paused. No TTL."""
    return _shard(shard, "head")


def shard_rows(shard: int) -> str:
    """String: the table of fixed-size records (engine.rows.ROW). No TTL."""
    return _shard(shard, "rows")


def shard_inbox(shard: int) -> str:
    """List of stamped commands, oldest first; a commit pops what it applied. No TTL."""
    return _shard(shard, "inbox")


def shard_events(shard: int) -> str:
    """Stream with ids {version}-{n}; the ledger trims what PostgreSQL holds. No TTL."""
    return _shard(shard, "events")


def shard_dead(shard: int) -> str:
    """List of commands that could not be applied, with the reason; newest 100. No TTL."""
    return _shard(shard, "dead")


def market_meta() -> str:
    """Hash: run_id, born_slot (no frame up to and including it). No TTL."""
    return f"{PREFIX}{{market}}:meta"


def market_newest() -> str:
    """String: the slot of the newest frame. No TTL."""
    return f"{PREFIX}{{market}}:newest"


def market_frame(slot: int) -> str:
    """String: the encoded frame of a slot. FRAME_TTL_S."""
    return f"{PREFIX}{{market}}:frame:{slot}"


def market_signals(slot: int) -> str:
    """String: 8 bytes for each plan id, all zero where nothing is known. FRAME_TTL_S."""
    return f"{PREFIX}{{market}}:signals:{slot}"


def market_readings(slot: int) -> str:
    """String: ATR(14) / last close for each symbol and timeframe of the slot's frame, 8 bytes each,
    all zero where nothing is known. FRAME_TTL_S.
    """
    return f"{PREFIX}{{market}}:readings:{slot}"


def market_bars(symbol: str, timeframe: str) -> str:
    """List of 56-byte closed bars, newest last, bounded. No TTL."""
    return f"{PREFIX}{{market}}:bars:{symbol}:{timeframe}"


def market_anchor() -> str:
    """Hash: source, slot, position: where a replayed recording stands. No TTL."""
    return f"{PREFIX}{{market}}:anchor"


def market_live() -> str:
    """Hash: symbol to its newest price, publish time and confidence, three f8. No TTL."""
    return f"{PREFIX}{{market}}:live"


def market_path() -> str:
    """Stream: what live prices did between two writes, the newest two minutes. No TTL."""
    return f"{PREFIX}{{market}}:path"


def market_feeder() -> str:
    """String: the process that writes the live table. Short TTL (workers.feed)."""
    return f"{PREFIX}{{market}}:feeder"


def market_in_use() -> str:
    """Set: the symbols that agents trade; a cache of PostgreSQL's table. No TTL."""
    return f"{PREFIX}{{market}}:in_use"


def market_asked() -> str:
    """Sorted set: symbol somebody asked for, to the slot until which it is followed. Bounded."""
    return f"{PREFIX}{{market}}:asked"


def market_choice() -> str:
    """String (JSON): what the price source `auto` stands for. Short TTL, kept by the workers."""
    return f"{PREFIX}{{market}}:choice"


def market_choosing() -> str:
    """String: somebody is deciding that. Short TTL."""
    return f"{PREFIX}{{market}}:choosing"


def market_feeds() -> str:
    """String (JSON): Pyth's feed ids as the last stream has verified them. One day."""
    return f"{PREFIX}{{market}}:feeds"


def market_pyth_requests(owner: str) -> str:
    """String (JSON): what was asked of Pyth lately with one key, and until when nothing may be."""
    return f"{PREFIX}{{market}}:pyth_requests:{owner}"


def market_symbols() -> str:
    """String (JSON): the live source and every symbol it has prices for. No TTL."""
    return f"{PREFIX}{{market}}:symbols"


def market_feed_report() -> str:
    """String (JSON): how the stream of live prices is doing. Short TTL."""
    return f"{PREFIX}{{market}}:feed_report"


def market_candle_stamps() -> str:
    """Sorted set: SYMBOL:TIMEFRAME to the slot from which fetched candles count. No TTL."""
    return f"{PREFIX}{{market}}:candle_stamps"


def market_candles(symbol: str, timeframe: str) -> str:
    """String: the candles that were fetched last (adapters.candles). TTL: two days."""
    return f"{PREFIX}{{market}}:candles:{symbol}:{timeframe}"


def candles_asked() -> str:
    """Sorted set: SYMBOL:TIMEFRAME whose candles somebody waits for, to when. Bounded."""
    return f"{PREFIX}{{market}}:candles_asked"


def candles_asked_by() -> str:
    """Hash: SYMBOL:TIMEFRAME to how many wait for it. Emptied with candles_asked."""
    return f"{PREFIX}{{market}}:candles_asked_by"


def candles_fetched() -> str:
    """Hash: SYMBOL:TIMEFRAME to when its candles were fetched last. No TTL."""
    return f"{PREFIX}{{market}}:candles_fetched"


def candles_in_flight(symbol: str, timeframe: str) -> str:
    """String: who fetches these candles now. Short TTL."""
    return f"{PREFIX}{{market}}:candles_in_flight:{symbol}:{timeframe}"


def candle_report() -> str:
    """String (JSON): how the sources of candles are doing. Short TTL."""
    return f"{PREFIX}{{market}}:candle_report"


def exchange_requests() -> str:
    """List: SYMBOL:TIMEFRAME that the exchange's process is to fetch. Bounded."""
    return f"{PREFIX}{{market}}:exchange_requests"


def exchange_answers() -> str:
    """List (JSON): what came of them, for the one that asks. Bounded."""
    return f"{PREFIX}{{market}}:exchange_answers"


def exchange_trouble() -> str:
    """String (JSON): why the exchange's process cannot run, and of which exchange. Some minutes."""
    return f"{PREFIX}{{market}}:exchange_trouble"


def candle_budget(owner: str) -> str:
    """Sorted set: requests made with one key of TwelveData, to when, of the last day."""
    return f"{PREFIX}{{budget}}:twelvedata:{owner}"


def plans() -> str:
    """Hash: plan id to its JSON definition; a cache of PostgreSQL's table. No TTL."""
    return f"{PREFIX}plans"


def shards() -> str:
    """Set of the shards that are open; a cache of PostgreSQL's table. No TTL."""
    return f"{PREFIX}shards"


def dirty_shards() -> str:
    """Set of the shards whose streams may hold what the ledger has not read. No TTL."""
    return f"{PREFIX}ledger:dirty"


def partition_lease(partition: int) -> str:
    """String: the worker that serves a tick partition. Short TTL (adapters.lease)."""
    return f"{PREFIX}lease:tick:{partition}"


def workers() -> str:
    """Sorted set: worker name to the Redis time of its last heartbeat. Pruned by readers."""
    return f"{PREFIX}workers"


def worker_report(name: str) -> str:
    """String (JSON): what a worker did so far, for operators. Short TTL."""
    return f"{PREFIX}worker:{name}"


def tick_queue(partition: int) -> str:
    """arq queue of the tick jobs of one partition."""
    return f"{PREFIX}queue:tick:{partition}"


def queue(name: str) -> str:
    """arq queue of another kind: market, ledger, chores."""
    return f"{PREFIX}queue:{name}"


def queue_bell(queue_name: str) -> str:
    """Pub/sub channel that wakes a worker asleep until its next due job."""
    return f"{queue_name}:bell"


def reported_status(agent_id: str) -> str:
    """String (JSON): the status of an agent outside of the pool. TTL: a few of its ticks."""
    return f"{PREFIX}{{reported}}:{agent_id}"


def shim_keeper() -> str:
    """String: the hub process that keeps the containers of agents. Short TTL."""
    return f"{PREFIX}{{shims}}:keeper"


def shim_states() -> str:
    """String (msgpack): the agents whose containers were looked at, and what is wrong. No TTL."""
    return f"{PREFIX}{{shims}}:states"


def callback_keeper() -> str:
    """String: the hub process that tells other hubs of their agents. Short TTL."""
    return f"{PREFIX}{{callbacks}}:keeper"


def ticked_channel() -> str:
    """Pub/sub: msgpack [shard, slot, version] after each commit."""
    return f"{PREFIX}ticked"


def quotas_channel() -> str:
    """Pub/sub: the id of a user whose quotas have changed."""
    return f"{PREFIX}quotas"


def attempts(kind: str, who: str) -> str:
    """List: ms of the newest attempts of an account or address, bounded. TTL: the window."""
    return f"{PREFIX}{{attempts}}:{kind}:{who}"


def allowance(caller: str) -> str:
    """String: ms at which a caller's allowance of requests is whole again. TTL: until then."""
    return f"{PREFIX}{{allowances}}:{caller}"


def ended_channel() -> str:
    """Pub/sub: msgpack ["login", family UUID] or ["key", user UUID], no good any longer."""
    return f"{PREFIX}ended"


def secrets_channel() -> str:
    """Pub/sub: 16 bytes of the user whose secrets have changed; see own_keys."""
    return f"{PREFIX}secrets"


def agents_channel() -> str:
    """Pub/sub: msgpack [owner, [[agent, epoch], ...]] of new wanted states; see agent_news."""
    return f"{PREFIX}agents"


def user_channel(user_id: str) -> str:
    """Pub/sub: the WebSocket messages of one user, as JSON; statuses of reported agents only."""
    return f"{PREFIX}user:{user_id}"
