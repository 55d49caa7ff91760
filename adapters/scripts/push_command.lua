-- Puts one command into a shard's inbox and stamps it with the slot before which it applies.
-- KEYS  1 head  2 inbox
-- ARGV  1 command bytes  2 longest inbox
-- Answer {number, stamp}; {-1} without a head, {-2} when the inbox is full.
-- The stamp is never at or below a slot that is covered already, and stamps never go back.
local slot = redis.call('HGET', KEYS[1], 'slot')
if not slot then return {-1} end
if redis.call('LLEN', KEYS[2]) >= tonumber(ARGV[2]) then return {-2} end
local stamp = math.max(tonumber(redis.call('TIME')[1]), tonumber(slot) + 1)
local last = redis.call('LINDEX', KEYS[2], -1)
if last then stamp = math.max(stamp, (struct.unpack('>I8', last))) end
local number = redis.call('HINCRBY', KEYS[1], 'inbox_number', 1)
redis.call('RPUSH', KEYS[2], struct.pack('>I8', stamp) .. struct.pack('>I8', number) .. ARGV[1])
return {number, stamp}
