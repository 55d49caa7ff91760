-- Claims due jobs for one arq worker: one round trip for a whole batch, by the clock of Redis.
-- KEYS  1 queue
-- ARGV  1 most jobs to claim  2 most ids to read  3 in-progress lock in ms  4 its key prefix
-- Answer {now ms, due ms of the next job or -1, id, score, id, score, ...}.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local limit = tonumber(ARGV[1])
local answer = {now, -1}
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'WITHSCORES', 'LIMIT', 0, ARGV[2])
for i = 1, #due, 2 do
  if limit == 0 then break end
  if redis.call('SET', ARGV[4] .. due[i], '1', 'NX', 'PX', ARGV[3]) then
    limit = limit - 1
    answer[#answer + 1] = due[i]
    answer[#answer + 1] = due[i + 1]
  end
end
local later = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. now, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
if later[2] then answer[2] = tonumber(later[2]) end
return answer
