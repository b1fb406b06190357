-- The session of a call that was handed over has ended, if no other one has the call.
--
-- KEYS: 1 handoff. ARGV: 1 owner, 2 ms that it is kept, then names and values
if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] then
  return 'none'
end
redis.call('HSET', KEYS[1], 'state', 'ended', unpack(ARGV, 3))
-- Nobody is told the code again.
redis.call('HDEL', KEYS[1], 'drawn')
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 'ok'
