-- Takes one of a call's tries, in a cluster. A try that came to nothing stays taken. What it answers
-- is a word, and the contact that the call was opened for.
--
-- KEYS: 1 call, 2 live, 3 tries. ARGV: 1 owner, 2 which try, 3 ttl in ms, 4 tries that it may make
local known = redis.call('HMGET', KEYS[1], 'owner', 'contact')
if known[1] ~= ARGV[1] then
  return { 'not_ours', '' }
end
local before = redis.call('HGET', KEYS[3], ARGV[2])
if before then
  return { before, known[2] or '' }
end
if redis.call('EXISTS', KEYS[2]) == 1 then
  return { 'opened', known[2] or '' }
end
if redis.call('HLEN', KEYS[3]) >= tonumber(ARGV[4]) then
  return { 'locked_out', '' }
end
redis.call('HSET', KEYS[3], ARGV[2], 'reserved')
redis.call('PEXPIRE', KEYS[3], ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return { 'reserved', '' }
