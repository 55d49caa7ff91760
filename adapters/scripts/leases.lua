-- One worker's heartbeat, and the leases it keeps, takes and gives back.
-- KEYS  1 workers (sorted set)  2.. the lease of each partition, from partition 0 on
-- ARGV  1 worker name  2 lease ms  3 '1' alive, '0' leaving
--       4.. for each partition: 'keep' (renew if mine), 'take' (also when free), 'drop' (give back)
-- Answer {live workers as one comma list, owner of partition 0 or '', ...}.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if ARGV[3] == '1' then
  redis.call('ZADD', KEYS[1], now, ARGV[1])
else
  redis.call('ZREM', KEYS[1], ARGV[1])
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', '(' .. (now - tonumber(ARGV[2])))
local answer = {table.concat(redis.call('ZRANGE', KEYS[1], 0, -1), ',')}
for i = 2, #KEYS do
  local wish = ARGV[2 + i]
  local owner = redis.call('GET', KEYS[i])
  if owner == ARGV[1] then
    if wish == 'drop' or ARGV[3] ~= '1' then
      redis.call('DEL', KEYS[i])
      owner = false
    else
      redis.call('PEXPIRE', KEYS[i], ARGV[2])
    end
  elseif not owner and wish == 'take' and ARGV[3] == '1' then
    redis.call('SET', KEYS[i], ARGV[1], 'PX', ARGV[2])
    owner = ARGV[1]
  end
  answer[i] = owner or ''
end
return answer
