-- Which connection a call has that was made; its session key is there already.
--
-- KEYS: 1 call. ARGV: 1 ttl in ms, 2 binding, 3 connection, 4 correlation, or '' where none is told
if redis.call('HGET', KEYS[1], 'binding') ~= ARGV[2] then
  return 'unknown'
end
redis.call('HSET', KEYS[1], 'connection', ARGV[3])
if ARGV[4] ~= '' then
  redis.call('HSET', KEYS[1], 'correlation', ARGV[4])
end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return 'ok'
