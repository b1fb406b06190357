-- What is known of a call. KEYS: 1 call
local NAMES = {
  'ani', 'sip', 'connection', 'correlation', 'sip_key', 'contact',
  'creator', 'binding', 'created', 'connected', 'ended', 'code', 'sub_code',
}
local told = redis.call('HMGET', KEYS[1], unpack(NAMES))
local all = { redis.call('EXISTS', KEYS[1]) == 1 and 'known' or 'unknown' }
for i = 1, #NAMES do
  all[i + 1] = told[i] or ''
end
return all
