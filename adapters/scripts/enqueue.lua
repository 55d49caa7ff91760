-- Enqueues one job as arq does, in one round trip instead of three.
-- KEYS  1 queue  2 job key
-- ARGV  1 job id  2 due (Redis ms) or '' for now  3 job bytes  4 ms to keep it after it is due
--       5 bell channel or ''
-- Answer the due time in ms, or 0 when a job of this id is there already.
if redis.call('EXISTS', KEYS[2]) == 1 then return 0 end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local due = tonumber(ARGV[2]) or now
redis.call('SET', KEYS[2], ARGV[3], 'PX', string.format('%.0f', math.max(due - now, 0) + ARGV[4]))
redis.call('ZADD', KEYS[1], string.format('%.0f', due), ARGV[1])
if ARGV[5] ~= '' then redis.call('PUBLISH', ARGV[5], string.format('%.0f', due)) end
return due
