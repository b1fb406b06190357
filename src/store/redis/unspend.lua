-- Gives a token back that this session had spent, and no other. KEYS: 1 spent. ARGV: 1 owner.
if redis.call('GET', KEYS[1]) == ARGV[1] then
  redis.call('DEL', KEYS[1])
end
return 'ok'
