-- Lets one attempt through, or says how long to wait; a refused one is not counted.
-- KEYS  one list for each limit: ms of the newest attempts, newest first
-- ARGV  1 window in ms  2.. how many attempts a window may hold, one for each key
-- Answer 0 when it is let through, else the ms until it would be.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local window = tonumber(ARGV[1])
local wait = 0
for i, key in ipairs(KEYS) do
  local oldest = redis.call('LINDEX', key, ARGV[i + 1] - 1)
  if oldest then
    -- never longer than a window, even where the clock was put back
    wait = math.max(wait, math.min(tonumber(oldest) + window - now, window))
  end
end
if wait > 0 then return wait end
for i, key in ipairs(KEYS) do
  redis.call('LPUSH', key, string.format('%.0f', now))
  redis.call('LTRIM', key, 0, ARGV[i + 1] - 1)
  redis.call('PEXPIRE', key, window)
end
return 0
