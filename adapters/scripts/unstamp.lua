-- Takes a window off the list of those to be corrected, unless it was stamped anew meanwhile.
-- KEYS  1 stamps (sorted set)
-- ARGV  a member and the slot it was seen with, for each
for i = 1, #ARGV, 2 do
  if redis.call('ZSCORE', KEYS[1], ARGV[i]) == ARGV[i + 1] then redis.call('ZREM', KEYS[1], ARGV[i]) end
end
