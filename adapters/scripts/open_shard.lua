-- The last step of a recovery: lays head, rows and the wanted states that the rows lack.
-- KEYS  1 head  2 rows  3 inbox  4 events
-- ARGV  1 run_id of the server that recovery has seen   2 head version it has read, or ''
--       3 run_id it has read in the head, or ''          4 new version   5 new slot   6 schema
--       7 table bytes   8 skipped ranges or ''   9 folded slot   10 '1': was stopped orderly
--       11 channel and 12 message that announce the new rows   13 ranges of slots without entries or ''
--       14 the fleet's halts or ''   15.. commands, oldest first
-- Answer 1, or 0 when somebody else was here or the server is another one: nothing written.
local run_id = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
if run_id ~= ARGV[1] then return 0 end
local head = redis.call('HMGET', KEYS[1], 'version', 'run_id', 'inbox_number')
if (head[1] or '') ~= ARGV[2] or (head[2] or '') ~= ARGV[3] then return 0 end
-- Without a head its stream belongs to nobody, and its ids may be above those to come.
if not head[1] then redis.call('DEL', KEYS[4]) end
redis.call('SET', KEYS[2], ARGV[7])
local number = tonumber(head[3] or '0')
local stamp = struct.pack('>I8', tonumber(ARGV[5]) + 1)
for i = #ARGV, 15, -1 do
  number = number + 1
  redis.call('LPUSH', KEYS[3], stamp .. struct.pack('>I8', number) .. ARGV[i])
end
redis.call('HSET', KEYS[1], 'version', ARGV[4], 'slot', ARGV[5], 'next_due', ARGV[5],
  'schema', ARGV[6], 'run_id', run_id, 'inbox_number', number, 'skipped', ARGV[8],
  'folded_slot', ARGV[9], 'held', ARGV[13], 'halts', ARGV[14])
if ARGV[10] == '1' then redis.call('HSET', KEYS[1], 'paused', '1') end
redis.call('PUBLISH', ARGV[11], ARGV[12])
return 1
