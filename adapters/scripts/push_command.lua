-- Puts commands into a shard's inbox and stamps them with the slot before which they apply.
-- KEYS  1 head  2 inbox
-- ARGV  1 longest inbox  2.. bytes of commands
-- Answer {number of the last one, stamp of all}; {-1} without a head, {-2} when not all of them fit.
-- The stamp is never at or below a slot that is covered already, and stamps never go back.
local slot = redis.call('HGET', KEYS[1], 'slot')
if not slot then return {-1} end
local count = #ARGV - 1
if redis.call('LLEN', KEYS[2]) + count > tonumber(ARGV[1]) then return {-2} end
local stamp = math.max(tonumber(redis.call('TIME')[1]), tonumber(slot) + 1)
local last = redis.call('LINDEX', KEYS[2], -1)
if last then stamp = math.max(stamp, (struct.unpack('>I8', last))) end
local number = redis.call('HINCRBY', KEYS[1], 'inbox_number', count)
local stamped = struct.pack('>I8', stamp)
for i = 1, count do
  redis.call('RPUSH', KEYS[2], stamped .. struct.pack('>I8', number - count + i) .. ARGV[1 + i])
end
return {number, stamp}
