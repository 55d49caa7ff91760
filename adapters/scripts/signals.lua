-- The signals of a slot: the first value of a plan stays, everybody gets what stayed.
-- KEYS  1 signals of the slot: a float64 at offset 8 * plan id, eight zero bytes where none is known
-- ARGV  1 seconds they are kept   2 plan ids, ascending, u4 each   3 values, 8 bytes each, none all zero
-- Answer: the values that stand, 8 bytes each, in the order of the ids; nil for wrong arguments.
local UNKNOWN = string.rep('\0', 8)
local count = #ARGV[2] / 4
if count == 0 or #ARGV[2] % 4 ~= 0 or #ARGV[3] ~= count * 8 then return false end
local function id(i) return struct.unpack('<I4', ARGV[2], i * 4 + 1) end
local first = id(0)
local known = redis.call('GETRANGE', KEYS[1], first * 8, id(count - 1) * 8 + 7)
local standing, run, run_at = {}, {}, 0
local function flush()
  if #run > 0 then redis.call('SETRANGE', KEYS[1], run_at * 8, table.concat(run)) end
  run = {}
end
for i = 0, count - 1 do
  local plan = id(i)
  local at = (plan - first) * 8
  local value = string.sub(known, at + 1, at + 8)
  if #value < 8 or value == UNKNOWN then
    value = string.sub(ARGV[3], i * 8 + 1, i * 8 + 8)
    if run_at + #run ~= plan then flush() end
    if #run == 0 then run_at = plan end
    run[#run + 1] = value
  end
  standing[i + 1] = value
end
flush()
redis.call('EXPIRE', KEYS[1], ARGV[1])
return table.concat(standing)
