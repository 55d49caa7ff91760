-- The frame of a slot: answered if it is there, stored if it is its time, never made later.
-- KEYS  1 meta  2 newest  3 frame of the slot  4 anchor   then one list for each run of closed bars
-- ARGV  1 slot
--       and to store a candidate:
--       2 newest frame it was built on, or ''   3 its bytes   4 seconds it is kept
--       5 bars kept   6 anchor: source, or '' to keep it   7 anchor: slot   8 anchor: position
--       then the records of each list, 56 bytes each, oldest first
-- Answer {kind, run_id, Redis time, ...}:
--   'frame', bytes   it exists         'early' | 'never'   it is not its slot, or Redis came up in it
--   'stored'         the candidate is the frame from now on     'arguments'   nothing was written
--   'make' | 'retry', newest slot, born slot, anchor source, slot, position    build one on newest
local RECORD = 56
local run_id = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
local time = redis.call('TIME')
local now, clock = tonumber(time[1]), time[1] .. '.' .. string.format('%06d', tonumber(time[2]))
local slot = tonumber(ARGV[1])
local storing = #ARGV > 1
if not slot or (storing and #ARGV - 8 ~= #KEYS - 4) then return {'arguments', run_id, clock} end
for i = 9, #ARGV do
  if #ARGV[i] == 0 or #ARGV[i] % RECORD ~= 0 then return {'arguments', run_id, clock} end
end

-- A Redis that was restarted may have lost a frame that others have used: the slot in which it came
-- up gets none, and what is older is in the past anyway.
local meta = redis.call('HMGET', KEYS[1], 'run_id', 'born_slot')
local born = tonumber(meta[2])
if meta[1] ~= run_id or not born then
  redis.call('HSET', KEYS[1], 'run_id', run_id, 'born_slot', time[1])
  born = now
end
local frame = redis.call('GET', KEYS[3])
if frame then return {'frame', run_id, clock, frame} end
if slot > now then return {'early', run_id, clock} end
local newest = redis.call('GET', KEYS[2])
if slot < now or slot <= born or (newest and slot <= tonumber(newest)) then
  return {'never', run_id, clock}
end

if not storing or ARGV[2] ~= (newest or '') then
  local anchor = redis.call('HMGET', KEYS[4], 'source', 'slot', 'position')
  return {storing and 'retry' or 'make', run_id, clock, newest, born, anchor[1], anchor[2], anchor[3]}
end
redis.call('SET', KEYS[3], ARGV[3], 'EX', ARGV[4])
redis.call('SET', KEYS[2], ARGV[1])
if ARGV[6] ~= '' then
  redis.call('HSET', KEYS[4], 'source', ARGV[6], 'slot', ARGV[7], 'position', ARGV[8])
end
for i = 5, #KEYS do
  local records = ARGV[i + 4]
  for from = 1, #records, RECORD * 500 do
    local some = {}
    for at = from, math.min(from + RECORD * 500, #records + 1) - RECORD, RECORD do
      some[#some + 1] = string.sub(records, at, at + RECORD - 1)
    end
    redis.call('RPUSH', KEYS[i], unpack(some))
  end
  redis.call('LTRIM', KEYS[i], -tonumber(ARGV[5]), -1)
end
return {'stored', run_id, clock}
