-- Stores fetched candles, and from which slot on they count for windows: never one that has begun.
-- KEYS  1 the candles   2 stamps (sorted set)   3 asked (sorted set)   4 asked by (hash)
--       5 in flight   6 fetched (hash)
-- ARGV  1 the candles, encoded   2 seconds they are kept   3 SYMBOL:TIMEFRAME   4 when fetched
-- Answer: the slot.
local slot = tonumber(redis.call('TIME')[1]) + 2
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
redis.call('ZADD', KEYS[2], slot, ARGV[3])
redis.call('ZREM', KEYS[3], ARGV[3])
redis.call('HDEL', KEYS[4], ARGV[3])
redis.call('DEL', KEYS[5])
redis.call('HSET', KEYS[6], ARGV[3], ARGV[4])
return slot
