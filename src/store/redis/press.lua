-- Keeps keys that a caller pressed, each place once.
--
-- KEYS: 1 call, 2 tones. ARGV: 1 ttl in ms, 2 how many are kept, then places and keys
if redis.call('EXISTS', KEYS[1]) == 0 then
  return 'unknown'
end
local told = 'all'
for i = 3, #ARGV, 2 do
  if not redis.call('HGET', KEYS[2], ARGV[i]) then
    if redis.call('HLEN', KEYS[2]) >= tonumber(ARGV[2]) then
      told = 'full'
    else
      redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1])
    end
  end
end
redis.call('PEXPIRE', KEYS[2], ARGV[1])
return told
