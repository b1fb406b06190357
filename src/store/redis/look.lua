-- KEYS: 1 call, 2 live. ARGV: 1 owner, 2 ttl in ms
local known = redis.call('HMGET', KEYS[1], 'owner', 'opened', 'ended')
if redis.call('EXISTS', KEYS[1]) == 0 then
  return 'gone'
end
if known[1] ~= ARGV[1] then
  return 'superseded'
end
if known[3] then
  return 'ended'
end
if known[2] == '1' and redis.call('EXISTS', KEYS[2]) == 0 then
  return 'gone'
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
redis.call('PEXPIRE', KEYS[2], ARGV[2])
return 'ours'
