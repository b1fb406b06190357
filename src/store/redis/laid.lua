-- The key of a booked session is there: from now on it waits for its call.
--
-- KEYS: 1 handoff. ARGV: 1 booking, 2 ms that it is kept
if redis.call('HGET', KEYS[1], 'booking') ~= ARGV[1] then
  return 'lost'
end
redis.call('HDEL', KEYS[1], 'booking')
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 'ok'
