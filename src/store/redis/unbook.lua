-- The key cannot be had. KEYS: 1 handoff. ARGV: 1 booking
if redis.call('HGET', KEYS[1], 'booking') == ARGV[1] then
  redis.call('DEL', KEYS[1])
end
return 'ok'
