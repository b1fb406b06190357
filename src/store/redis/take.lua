-- Looks a session key up and consumes it, in a cluster. Who consumed it finds it again. Continues
-- `bound`.
--
-- KEYS: 1 the key, 2 used. ARGV: 1 who, 2 consume, 3 require_ttl, 4 ms for which it is known who did,
-- 5 the binding of the call, or ''.
if redis.call('GET', KEYS[2]) == ARGV[1] then
  return 'hit'
end
local left = redis.call('PTTL', KEYS[1])
if left == -2 or (left == -1 and ARGV[3] == '1') then
  return 'miss'
end
if is_anothers(KEYS[1], ARGV[5]) then
  return 'other'
end
if ARGV[2] == '1' then
  redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[4])
  redis.call('DEL', KEYS[1])
end
return 'hit'
