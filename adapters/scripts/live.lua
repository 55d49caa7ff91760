-- Adds what was seen to the live table, if the writer still holds the feeder's lease.
-- KEYS  1 lease of the feeder   2 live table (hash)   3 path (stream)
-- ARGV  1 name of the writer   2 entries of the path that are kept   3 what was seen, encoded
--       then a symbol and its newest price for each symbol seen
-- Answer: 1, or 0 when the lease is not the writer's and nothing was written.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[2], '*', 'g', ARGV[3])
redis.call('HSET', KEYS[2], unpack(ARGV, 4))
return 1
