-- The call is over. KEYS: 1 call, 2 live. ARGV: 1 ttl in ms, 2 code, 3 subcode, or '' where not told
if redis.call('EXISTS', KEYS[1]) == 0 then
  return 'unknown'
end
redis.call('HSET', KEYS[1], 'ended', '1')
-- Callbacks come more than once: the first one that tells them counts.
if ARGV[2] ~= '' and not redis.call('HGET', KEYS[1], 'code') then
  redis.call('HSET', KEYS[1], 'code', ARGV[2])
  if ARGV[3] ~= '' then
    redis.call('HSET', KEYS[1], 'sub_code', ARGV[3])
  end
end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
redis.call('DEL', KEYS[2])
return 'ok'
