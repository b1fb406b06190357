-- Keeps places of one counter, or adds to its minutes.
--
-- KEYS: the counter. ARGV: 1 kind, 2 lease or the window of minutes in ms, 3 how much there may be
-- (minutes: ms), 4 ms to be added, then the sessions whose places are kept
if ARGV[1] == 'sessions' then
  local time = redis.call('TIME')
  local millis = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
  local ends = string.format('%.0f', millis + tonumber(ARGV[2]))
  for i = 5, #ARGV do
    redis.call('ZADD', KEYS[1], ends, ARGV[i])
  end
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  return 'ok'
end
local all = redis.call('INCRBY', KEYS[1], ARGV[4])
-- The window begins with the first.
if redis.call('PTTL', KEYS[1]) == -1 then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return all >= tonumber(ARGV[3]) and 'over' or 'ok'
