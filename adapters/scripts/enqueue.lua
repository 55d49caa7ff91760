-- Enqueues jobs as arq does, in one round trip instead of three for each.
-- KEYS  for each job: its queue, its job key
-- ARGV  1 ms to keep a job after it is due
--       then for each job: id, due (Redis ms) or '' for now, job bytes, bell channel or ''
-- Answer the due time of each in ms, or 0 when a job of this id is there already.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local answer = {}
for i = 1, #KEYS / 2 do
  local queue, key, at = KEYS[2 * i - 1], KEYS[2 * i], 4 * i - 2
  local due = 0
  if redis.call('EXISTS', key) == 0 then
    due = tonumber(ARGV[at + 1]) or now
    local keep = string.format('%.0f', math.max(due - now, 0) + ARGV[1])
    redis.call('SET', key, ARGV[at + 2], 'PX', keep)
    redis.call('ZADD', queue, string.format('%.0f', due), ARGV[at])
    if ARGV[at + 3] ~= '' then
      redis.call('PUBLISH', ARGV[at + 3], string.format('%.0f', due))
    end
  end
  answer[i] = due
end
return answer
