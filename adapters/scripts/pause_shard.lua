-- An orderly stop: raises the version, so that no tick under way can commit, and notes that the
-- slots from here to the next start are paused, not missed.
-- KEYS  1 head
-- Answer 1, or 0 without a head.
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('HINCRBY', KEYS[1], 'version', 1)
redis.call('HSET', KEYS[1], 'paused', '1')
return 1
