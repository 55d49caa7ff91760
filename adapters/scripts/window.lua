-- Lays the bars of a source's history in front of those that were built from frames, once.
-- KEYS  1 the list of bars of a symbol and timeframe
-- ARGV  1 bars kept   then the records to lay, 56 bytes each (number first), oldest first
-- Answer: the whole list, with whatever was laid first. Bars of earlier layings stay in front.
local SLOT = 1048576 -- numbers of one laying are those of one slot: engine/frames.py, laid_number
local function number(record) return struct.unpack('<i8', record) end
local first, last = number(ARGV[2]), number(ARGV[#ARGV])
local laying = first - first % SLOT
local records = redis.call('LRANGE', KEYS[1], 0, -1)
local older, newer = {}, {}
for _, record in ipairs(records) do
  local n = number(record)
  if n >= laying and n <= last then return records end
  if n < laying then older[#older + 1] = record else newer[#newer + 1] = record end
end
redis.call('DEL', KEYS[1])
local function push(list, from)
  for i = from, #list, 1000 do
    redis.call('RPUSH', KEYS[1], unpack(list, i, math.min(i + 999, #list)))
  end
end
push(older, 1)
push(ARGV, 2)
push(newer, 1)
redis.call('LTRIM', KEYS[1], -tonumber(ARGV[1]), -1)
return redis.call('LRANGE', KEYS[1], 0, -1)
