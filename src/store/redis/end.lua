-- The call is over. KEYS: 1 call, 2 live. ARGV: 1 ttl in ms
if redis.call('EXISTS', KEYS[1]) == 0 then
  return 'unknown'
end
redis.call('HSET', KEYS[1], 'ended', '1')
redis.call('PEXPIRE', KEYS[1], ARGV[1])
redis.call('DEL', KEYS[2])
return 'ok'
