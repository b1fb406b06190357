-- Whom a call was made to is there. KEYS: 1 call. ARGV: 1 ttl in ms
if redis.call('HGET', KEYS[1], 'binding') then
  redis.call('HSET', KEYS[1], 'connected', '1')
  redis.call('PEXPIRE', KEYS[1], ARGV[1])
end
return 'ok'
