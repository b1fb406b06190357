-- What became of a try that was reserved, in a cluster.
--
-- KEYS: 1 call, 2 live, 3 tries. ARGV: 1 owner, 2 which try, 3 ttl in ms, 4 'opened' or 'locked_out',
-- 5 the contact of the key. What it answers is a word, and that.
if ARGV[4] == 'locked_out' then
  redis.call('HDEL', KEYS[3], ARGV[2])
  return { 'locked_out', '' }
end
if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] then
  return { 'not_ours', '' }
end
redis.call('HSET', KEYS[3], ARGV[2], 'opened')
redis.call('PEXPIRE', KEYS[3], ARGV[3])
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[3])
redis.call('HSET', KEYS[1], 'opened', '1', 'contact', ARGV[5])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return { 'opened', ARGV[5] }
