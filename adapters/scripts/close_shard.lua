-- Closes a shard for an upkeep: its run is none from here on, so that nothing commits and no ledger
-- reads, until a recovery opens it again or its keys are removed.
-- KEYS  1 head
-- Answer 1, or 0 without a head.
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('HSET', KEYS[1], 'run_id', 'closed')
redis.call('HINCRBY', KEYS[1], 'version', 1)
return 1
