-- Gives a token back that a session of ours had spent. KEYS: 1 spent. ARGV: 1 owner.
if redis.call('GET', KEYS[1]) == ARGV[1] then
  redis.call('DEL', KEYS[1])
end
return 'ok'
