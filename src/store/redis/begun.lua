-- A call was opened for a session that was handed over; what it answers is a word, and the route.
--
-- KEYS: 1 handoff. ARGV: 1 the key that it was opened by, or '' where its verdict still held, 2 call,
-- 3 owner, 4 ms that it is kept, then names and values
local known = redis.call('HMGET', KEYS[1], 'key', 'call', 'state', 'route')
local ours = known[2] == ARGV[2] or (ARGV[1] ~= '' and known[1] == ARGV[1])
if not ours then
  return { 'unknown', '' }
end
local again = known[3] == 'opened' and known[2] == ARGV[2]
redis.call('HSET', KEYS[1], 'state', 'opened', 'call', ARGV[2], 'owner', ARGV[3])
if not again then
  redis.call('HDEL', KEYS[1], 'booking', 'ended', 'reason', 'by', 'lasted', 'connection', 'correlation')
  redis.call('HSET', KEYS[1], unpack(ARGV, 5))
end
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return { again and 'again' or 'new', known[4] }
