-- The readings of a slot: the first value of a place stays, everybody gets what stayed.
-- KEYS  tables of the slot: eight bytes at offset 8 * place, all zero where nothing is known
-- ARGV  1 seconds they are kept, then for each key: places, ascending, u4 each; values, 8 bytes each
-- Answer: for each key the values that stand, 8 bytes each, in the order of its places, or '' where
-- all of them are the given ones; nil for wrong arguments.
local UNKNOWN = string.rep('\0', 8)
if #ARGV ~= 1 + 2 * #KEYS then return false end
for k = 1, #KEYS do
  local places, values = ARGV[2 * k], ARGV[2 * k + 1]
  if #places % 4 ~= 0 or #values ~= #places * 2 then return false end
end

local function settle(key, places, values)
  local count = #places / 4
  if count == 0 then return '' end
  local function place(i) return struct.unpack('<I4', places, i * 4 + 1) end
  local first, last = place(0), place(count - 1)
  local known = redis.call('GETRANGE', key, first * 8, last * 8 + 7)
  local nothing = not string.find(known, '[^%z]')
  if nothing and last - first == count - 1 then
    redis.call('SETRANGE', key, first * 8, values)
    return ''
  end
  local standing, run, run_at, theirs = {}, {}, 0, false
  local function flush()
    if #run > 0 then redis.call('SETRANGE', key, run_at * 8, table.concat(run)) end
    run = {}
  end
  for i = 0, count - 1 do
    local at = place(i)
    local value = nothing and '' or string.sub(known, (at - first) * 8 + 1, (at - first) * 8 + 8)
    if #value < 8 or value == UNKNOWN then
      value = string.sub(values, i * 8 + 1, i * 8 + 8)
      if run_at + #run ~= at then flush() end
      if #run == 0 then run_at = at end
      run[#run + 1] = value
    else
      theirs = true
    end
    standing[i + 1] = value
  end
  flush()
  return theirs and table.concat(standing) or ''
end

local answer = {}
for k = 1, #KEYS do
  answer[k] = settle(KEYS[k], ARGV[2 * k], ARGV[2 * k + 1])
  redis.call('EXPIRE', KEYS[k], ARGV[1])
end
return answer
