-- A turn, if one is free. What was taken while the store was away counts first.
--
-- KEYS: 1 turns by the time at which each is over, 2 that all are shut. ARGV: 1 turn, 2 how many there
-- are, 3 for how many ms it lasts, 4 of how many that come free is told; then turns and ms that are left
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function set(turn, ms)
  redis.call('ZADD', KEYS[1], now + ms, turn)
end
for i = 5, #ARGV, 2 do
  set(ARGV[i], tonumber(ARGV[i + 1]))
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
local known = redis.call('ZSCORE', KEYS[1], ARGV[1])
local out = redis.call('ZCARD', KEYS[1])
local shut = math.max(redis.call('PTTL', KEYS[2]), 0)
local taken = known or (shut == 0 and out < tonumber(ARGV[2]))
if taken then
  set(ARGV[1], tonumber(ARGV[3]))
  out = redis.call('ZCARD', KEYS[1])
end
-- It lasts as long as the last of them.
local last = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')[2]
if last then
  redis.call('PEXPIRE', KEYS[1], math.max(tonumber(last) - now, 1))
end
if taken then
  return { 'taken', tostring(out) }
end
local told = { 'wait', tostring(out), tostring(shut) }
if tonumber(ARGV[4]) > 0 then
  local next = redis.call('ZRANGE', KEYS[1], 0, tonumber(ARGV[4]) - 1, 'WITHSCORES')
  for i = 2, #next, 2 do
    told[#told + 1] = string.format('%d', tonumber(next[i]) - now)
  end
end
return told
