-- The orders behind a place in the log, and the last place that it ever had. Of an entry that somebody
-- wrote by hand so much is told as can be an order.
--
-- KEYS: 1 orders. ARGV: 1 the first place that is wanted, 2 how many, 3 the longest text
if redis.call('EXISTS', KEYS[1]) == 0 then
  return { '0-0' }
end
local told = { '0-0' }
local about = redis.call('XINFO', 'STREAM', KEYS[1])
for i = 1, #about, 2 do
  if about[i] == 'last-generated-id' then
    told[1] = about[i + 1]
  end
end
for _, entry in ipairs(redis.call('XRANGE', KEYS[1], ARGV[1], '+', 'COUNT', ARGV[2])) do
  local known = { kind = '', value = '', ['until'] = '', ['end'] = '' }
  for i = 1, #entry[2], 2 do
    if known[entry[2][i]] then
      known[entry[2][i]] = string.sub(entry[2][i + 1], 1, tonumber(ARGV[3]) + 1)
    end
  end
  told[#told + 1] = entry[1]
  told[#told + 1] = known.kind
  told[#told + 1] = known.value
  told[#told + 1] = known['until']
  told[#told + 1] = known['end']
end
return told
