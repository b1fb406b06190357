-- KEYS: 1 call, 2 live. ARGV: 1 owner, 2 ms for which the verdict still holds
local known = redis.call('HMGET', KEYS[1], 'owner', 'before')
if known[1] == ARGV[1] then
  redis.call('PEXPIRE', KEYS[2], ARGV[2])
elseif known[2] == ARGV[1] then
  -- Should the call come back, there is nobody to have it.
  redis.call('HDEL', KEYS[1], 'before')
end
return 'ok'
