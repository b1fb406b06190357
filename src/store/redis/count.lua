-- Counts a try as failed before it is made, in a cluster; `uncount` takes it back.
--
-- KEYS: 1 fails. ARGV: 1 which try, 2 how many are too many, 3 for how many ms they count
if redis.call('SISMEMBER', KEYS[1], ARGV[1]) == 1 then
  return 'reserved'
end
if redis.call('SCARD', KEYS[1]) >= tonumber(ARGV[2]) then
  return 'locked_out'
end
redis.call('SADD', KEYS[1], ARGV[1])
if redis.call('PTTL', KEYS[1]) == -1 then
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
end
return 'reserved'
