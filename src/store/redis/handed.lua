-- What is known of a session that was handed over: its state, then its fields in this order.
--
-- KEYS: 1 handoff
local known = redis.call('HMGET', KEYS[1], 'writer', 'key', 'expires', 'context', 'call', 'connection',
  'correlation', 'opened', 'ended', 'reason', 'by', 'lasted')
local state = redis.call('HMGET', KEYS[1], 'state', 'kept', 'booking')
local word = state[1] or 'unknown'
if state[3] then
  word = 'unknown'
elseif word == 'waiting' and redis.call('PTTL', KEYS[1]) < tonumber(state[2] or 0) then
  word = 'expired'
end
local all = { word }
for i = 1, 12 do
  all[i + 1] = known[i] or ''
end
return all
