-- Takes one of each counter for a session, or nothing. By this server's own clock.
--
-- KEYS: the counters. ARGV: 1 session, 2 lease in ms, then for each counter its kind, how much there
-- may be (minutes: ms), and for how many ms (0 for sessions)
-- Answers 'ok', or 'no', the place of what there is no more of, and in how many ms there is (-1: unknown)
local time = redis.call('TIME')
local micros = tonumber(time[1]) * 1000000 + tonumber(time[2])
local millis = math.floor(micros / 1000)
local session, lease = ARGV[1], tonumber(ARGV[2])
local empty = {}
for i = 1, #KEYS do
  local kind, most, per = ARGV[3 * i], tonumber(ARGV[3 * i + 1]), tonumber(ARGV[3 * i + 2])
  if kind == 'rate' then
    local from = tonumber(redis.call('GET', KEYS[i]) or '0')
    -- A clock that was set back makes nobody wait for longer than a whole period.
    from = math.min(math.max(from, micros), micros + per * 1000)
    local next = from + per * 1000 / most
    if next > micros + per * 1000 then
      return { 'no', tostring(i), tostring(math.ceil((next - micros - per * 1000) / 1000)) }
    end
    empty[i] = next
  elseif kind == 'sessions' then
    redis.call('ZREMRANGEBYSCORE', KEYS[i], '-inf', string.format('%.0f', millis))
    if not redis.call('ZSCORE', KEYS[i], session) and redis.call('ZCARD', KEYS[i]) >= most then
      return { 'no', tostring(i), '-1' }
    end
  elseif tonumber(redis.call('GET', KEYS[i]) or '0') >= most then
    return { 'no', tostring(i), tostring(redis.call('PTTL', KEYS[i])) }
  end
end
for i = 1, #KEYS do
  if empty[i] then
    local left = math.max(math.ceil((empty[i] - micros) / 1000), 1)
    redis.call('SET', KEYS[i], string.format('%.0f', empty[i]), 'PX', string.format('%.0f', left))
  elseif ARGV[3 * i] == 'sessions' then
    redis.call('ZADD', KEYS[i], string.format('%.0f', millis + lease), session)
    redis.call('PEXPIRE', KEYS[i], lease)
  end
end
return { 'ok', '0', '0' }
