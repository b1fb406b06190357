-- KEYS: 1 call, 2 live. ARGV: 1 owner, 2 ms for which the verdict still holds
if redis.call('HGET', KEYS[1], 'owner') == ARGV[1] then
  redis.call('PEXPIRE', KEYS[2], ARGV[2])
end
return 'ok'
