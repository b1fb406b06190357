-- The keys that a call's session has not taken yet, and that it has taken those before.
--
-- KEYS: 1 call, 2 tones. ARGV: 1 owner, 2 the last place that it has taken
local known = redis.call('HMGET', KEYS[1], 'owner', 'heard', 'ended')
if known[1] ~= ARGV[1] then
  return { 'not_ours' }
end
if known[3] then
  return { 'ended' }
end
local heard = tonumber(known[2] or '0')
if tonumber(ARGV[2]) > heard then
  heard = tonumber(ARGV[2])
  redis.call('HSET', KEYS[1], 'heard', ARGV[2])
end
local all = { 'ours', tostring(heard) }
local told = redis.call('HGETALL', KEYS[2])
for i = 1, #told, 2 do
  if tonumber(told[i]) > heard then
    all[#all + 1] = told[i]
    all[#all + 1] = told[i + 1]
  end
end
return all
