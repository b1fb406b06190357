-- What is known of a call. KEYS: 1 call
local told = redis.call('HMGET', KEYS[1], 'ani', 'sip', 'connection', 'correlation', 'sip_key', 'contact')
local all = { redis.call('EXISTS', KEYS[1]) == 1 and 'known' or 'unknown' }
for i = 1, 6 do
  all[i + 1] = told[i] or ''
end
return all
