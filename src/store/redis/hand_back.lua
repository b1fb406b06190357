-- The upgrade that took the call over did not come to a session: the call is whose it was before.
--
-- KEYS: 1 call, 2 live. ARGV: 1 owner, 2 ms for which an older verdict holds where nobody has it
if redis.call('HGET', KEYS[1], 'owner') == ARGV[1] then
  local before = redis.call('HGET', KEYS[1], 'before')
  redis.call('HDEL', KEYS[1], 'before', 'owner')
  if before then
    redis.call('HSET', KEYS[1], 'owner', before)
  elseif redis.call('GET', KEYS[2]) ~= ARGV[1] then
    redis.call('PEXPIRE', KEYS[2], ARGV[2])
  end
end
return 'ok'
