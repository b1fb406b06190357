-- KEYS: 1 call. ARGV: 1 ttl in ms, then names and values
redis.call('HSET', KEYS[1], unpack(ARGV, 2))
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return 'ok'
