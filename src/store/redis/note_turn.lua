-- What became of a turn that was taken.
--
-- KEYS: 1 turns, 2 that all are shut. ARGV: 1 turn, 2 for how many ms it still counts, 3 for how many ms
-- all are shut
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if tonumber(ARGV[2]) == 0 then
  redis.call('ZREM', KEYS[1], ARGV[1])
else
  redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
  local last = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')[2]
  redis.call('PEXPIRE', KEYS[1], math.max(tonumber(last) - now, 1))
end
if tonumber(ARGV[3]) > 0 and redis.call('PTTL', KEYS[2]) < tonumber(ARGV[3]) then
  redis.call('SET', KEYS[2], '1', 'PX', ARGV[3])
end
return 'ok'
