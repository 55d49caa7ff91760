-- Takes, renews or gives back the lease of the one process that feeds the live table.
-- KEYS  1 lease of the feeder
-- ARGV  1 name   2 milliseconds it is good for, 0 to give it back
-- Answer: 1 when the lease is the caller's now, else 0.
local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[1] then return 0 end
if ARGV[2] == '0' then
  redis.call('DEL', KEYS[1])
  return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
