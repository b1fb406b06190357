-- Gives back what was taken of one counter.
--
-- KEYS: the counter. ARGV: 1 kind, 2 how many a rate allows, 3 in how many ms, then the sessions whose
-- places are given back
if ARGV[1] == 'sessions' then
  for i = 4, #ARGV do
    redis.call('ZREM', KEYS[1], ARGV[i])
  end
elseif ARGV[1] == 'rate' then
  local left = redis.call('PTTL', KEYS[1])
  local empty = tonumber(redis.call('GET', KEYS[1]) or '0')
  if left > 0 and empty > 0 then
    local back = tonumber(ARGV[3]) * 1000 / tonumber(ARGV[2])
    redis.call('SET', KEYS[1], string.format('%.0f', empty - back), 'PX', left)
  end
end
return 'ok'
