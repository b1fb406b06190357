-- The whole of `enter`, on one server. Continues `bound`, `contact` and `record`.
--
-- KEYS: 1 spent, 2 call, 3 live, 4 the session key of the connection, or '' where none is wanted
-- ARGV: 12 need, 13 consume, 14 require_ttl, 15 ms until the token ends, 16 route
--
-- The key of a SIP call is not among KEYS: which one it is stands in the record. Servers that are no
-- cluster allow that; in a cluster `admit` is used instead.
local spent, call, live = KEYS[1], KEYS[2], KEYS[3]
local spent_by = redis.call('GET', spent)
if spent_by and spent_by ~= owner then
  return answer('spent')
end
local record, new = record_of(call)
if not record then
  return answer(new)
end
local need, word, consumed = ARGV[12], 'authorised', nil
local contact = redis.call('HGET', call, 'contact')
local opener = redis.call('GET', live)
if opener then
  word = opener == owner and 'authorised' or 'resumed'
elseif need == 'dialled' then
  word = 'pending'
elseif need ~= 'nothing' then
  local key = need == 'sip' and record[5] or need == 'api' and KEYS[4]
  local left = key and key ~= '' and redis.call('PTTL', key) or -2
  if left == -2 or (left == -1 and ARGV[14] == '1') then
    return answer('no_key')
  end
  if is_anothers(key, ARGV[11]) then
    return answer('other')
  end
  consumed = ARGV[13] == '1' and key
  contact = contact_of(key)
  new[#new + 1] = 'contact'
  new[#new + 1] = contact
end
take_over(call, live, new, word ~= 'pending')
redis.call('SET', spent, owner, 'PX', ARGV[15])
if consumed then
  redis.call('DEL', consumed)
end
return answer(word, record, word ~= 'pending' and contact)
