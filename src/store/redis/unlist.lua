-- KEYS: 1 list. ARGV: the sessions
for i = 1, #ARGV do
  redis.call('ZREM', KEYS[1], ARGV[i])
end
return 'ok'
