-- KEYS: 1 fails. ARGV: 1 which try
redis.call('SREM', KEYS[1], ARGV[1])
return 'ok'
