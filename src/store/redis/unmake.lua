-- Forgets a call that was not made after all. KEYS: 1 call. ARGV: 1 binding
if redis.call('HGET', KEYS[1], 'binding') == ARGV[1] then
  redis.call('DEL', KEYS[1])
end
return 'ok'
