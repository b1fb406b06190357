-- KEYS: 1 call, 2 live. ARGV: 1 owner, 2 ms for which the verdict still holds
local known = redis.call('HMGET', KEYS[1], 'owner', 'before')
if known[1] == ARGV[1] then
  redis.call('PEXPIRE', KEYS[2], ARGV[2])
  -- What is known of the call must last as long as its verdict.
  local left = redis.call('PTTL', KEYS[1])
  if left >= 0 and left < tonumber(ARGV[2]) then
    redis.call('PEXPIRE', KEYS[1], ARGV[2])
  end
elseif known[2] == ARGV[1] then
  -- Should the call come back, there is nobody to have it.
  redis.call('HDEL', KEYS[1], 'before')
end
return 'ok'
