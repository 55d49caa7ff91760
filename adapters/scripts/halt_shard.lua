-- How far the whole fleet is held back from now on, as one shard is told it. Raises the version, so
-- that no tick under way can commit: it reads the head again and with it this.
-- KEYS  1 head
-- ARGV  1 epoch of the change   2 halt (0 active, 1 reducing, 2 halted)   3 changes to keep
-- Answer {epoch the shard has, slot from which it holds}; {-1} without a head. An older change than
-- the one there is ignored.
local head = redis.call('HMGET', KEYS[1], 'slot', 'halts')
if not head[1] then return {-1} end
local halts = {}
for each in string.gmatch(head[2] or '', '%S+') do halts[#halts + 1] = each end
local slot, epoch = string.match(halts[#halts] or '0:0:0', '(%d+):%d+:(%d+)')
if tonumber(epoch) >= tonumber(ARGV[1]) then return {tonumber(epoch), tonumber(slot)} end
-- Never at or below a slot that is covered already, as the stamps of commands.
slot = math.max(tonumber(redis.call('TIME')[1]), tonumber(head[1]) + 1, tonumber(slot))
halts[#halts + 1] = string.format('%.0f:%s:%s', slot, ARGV[2], ARGV[1])
while #halts > tonumber(ARGV[3]) do table.remove(halts, 1) end
redis.call('HINCRBY', KEYS[1], 'version', 1)
redis.call('HSET', KEYS[1], 'halts', table.concat(halts, ' '))
return {tonumber(ARGV[1]), slot}
