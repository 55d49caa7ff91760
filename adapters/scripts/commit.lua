-- One tick's outcome, all or nothing, fenced by the version the tick has read.
-- KEYS  1 head  2 rows  3 inbox  4 events
-- ARGV  1 version read   2 run_id read with it   3 slot now covered   4 next due slot or ''
--       5 inbox entries read   6 inbox entries applied   7 skipped ranges (msgpack) or '' to keep
--       8 folded slot or '' to keep   9 resume: '1' clears the orderly stop   10 largest table in bytes
--       11 stream limit (entries)   12 channel and 13 message that announce the commit
--       14 row schema from now on, or '' to keep   15 ranges of slots without entries (msgpack) or ''
--       16 number of row ranges   17 number of events
--       then offset, bytes for each range, then each event's bytes
-- Answer {'ok', version, inbox length left}, or {reason} with nothing written. Redis does not undo
-- half a script, so every argument is checked before the first write.
local head = redis.call('HMGET', KEYS[1], 'version', 'run_id', 'slot')
if not head[1] then return {'no_head'} end
if head[1] ~= ARGV[1] then return {'version'} end
local run_id = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
if head[2] ~= ARGV[2] or run_id ~= ARGV[2] then return {'run_id'} end

local slot = tonumber(ARGV[3])
if not slot or slot < tonumber(head[3]) then return {'slot'} end
if slot > tonumber(redis.call('TIME')[1]) then return {'future'} end

local read, applied = tonumber(ARGV[5]), tonumber(ARGV[6])
local unread = redis.call('LINDEX', KEYS[3], read)
if unread and struct.unpack('>I8', unread) <= slot then return {'inbox'} end

local ranges, events = tonumber(ARGV[16]), tonumber(ARGV[17])
local first_event = 17 + 2 * ranges
if #ARGV ~= first_event + events or applied > read then return {'arguments'} end
for i = 1, ranges do
  local offset = tonumber(ARGV[16 + 2 * i])
  if not offset or offset + #ARGV[17 + 2 * i] > tonumber(ARGV[10]) then return {'arguments'} end
end
if events > 0 and redis.call('XLEN', KEYS[4]) + events > tonumber(ARGV[11]) then return {'full'} end

local version = tonumber(ARGV[1]) + 1
for i = 1, ranges do
  redis.call('SETRANGE', KEYS[2], ARGV[16 + 2 * i], ARGV[17 + 2 * i])
end
if applied > 0 then redis.call('LTRIM', KEYS[3], applied, -1) end
for n = 1, events do
  redis.call('XADD', KEYS[4], string.format('%.0f-%d', version, n), 'e', ARGV[first_event + n])
end
redis.call('HSET', KEYS[1], 'version', string.format('%.0f', version), 'slot', ARGV[3],
  'next_due', ARGV[4])
if ARGV[7] ~= '' then redis.call('HSET', KEYS[1], 'skipped', ARGV[7]) end
if ARGV[8] ~= '' then redis.call('HSET', KEYS[1], 'folded_slot', ARGV[8]) end
if ARGV[9] == '1' then redis.call('HDEL', KEYS[1], 'paused') end
if ARGV[14] ~= '' then redis.call('HSET', KEYS[1], 'schema', ARGV[14]) end
if ARGV[15] ~= '' then redis.call('HSET', KEYS[1], 'held', ARGV[15]) end
-- In here, so that whoever has heard of no commit after this moment knows that there was none.
redis.call('PUBLISH', ARGV[12], ARGV[13])
return {'ok', version, redis.call('LLEN', KEYS[3])}
