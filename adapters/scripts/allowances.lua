-- Adds what some callers have used up to what all hubs know of them, by the clock of Redis.
-- KEYS  1..n  string: ms (Redis) at which a caller's allowance is whole again
-- ARGV  1 ms of a whole allowance; no caller is behind by more   2..n+1  ms to add for each
-- Answer for each: ms until the allowance is whole again.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local most = tonumber(ARGV[1])
local answer = {}
for i, key in ipairs(KEYS) do
  local whole_at = math.max(tonumber(redis.call('GET', key) or '0'), now) + tonumber(ARGV[i + 1])
  whole_at = math.min(whole_at, now + most)
  local behind = math.ceil(whole_at - now)
  if behind > 0 then
    redis.call('SET', key, string.format('%.3f', whole_at), 'PX', string.format('%d', behind))
  end
  answer[i] = behind
end
return answer
