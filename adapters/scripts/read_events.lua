-- A shard's events above the ledger's cursor, together with the run they belong to and the slots
-- that were not run, of which nobody else would know if this Redis were lost.
-- KEYS  1 head  2 events
-- ARGV  1 version of the cursor  2 most entries
-- Answer {run_id, skipped ranges, id, bytes, id, bytes, ...}; {''} without a head or after a restart that
-- nobody has recovered from yet.
local head = redis.call('HMGET', KEYS[1], 'run_id', 'skipped')
local run_id = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
if head[1] ~= run_id then return {''} end
local answer = {run_id, head[2] or ''}
local from = string.format('%.0f-0', tonumber(ARGV[1]) + 1)
for _, entry in ipairs(redis.call('XRANGE', KEYS[2], from, '+', 'COUNT', ARGV[2])) do
  answer[#answer + 1] = entry[1]
  answer[#answer + 1] = entry[2][2]
end
return answer
