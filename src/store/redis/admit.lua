-- The part of `enter` that is in the slot of the call, in a cluster. Continues `record`.
--
-- KEYS: 1 call, 2 live
-- ARGV: 12 need, 13 what to do: 'ask' writes nothing, 'open' and 'wait' take the call over, 'resume'
-- does where it is open still, or needs no key, 14 the contact of the key that opens it, 15 route
local call, live = KEYS[1], KEYS[2]
local record, new = record_of(call)
if not record then
  return answer(new)
end
local opener = redis.call('GET', live)
local word = ARGV[12]
if opener then
  word = opener == owner and 'authorised' or 'resumed'
end
if ARGV[13] == 'ask' then
  return answer(word, record)
end
local what = ARGV[13]
if what == 'resume' and not opener then
  if word == 'api' or word == 'sip' then
    return answer('no_key')
  end
  what = word == 'nothing' and 'open' or 'wait'
end
local opened = opener or what == 'open'
local contact = redis.call('HGET', call, 'contact')
if opened and not opener then
  contact = ARGV[14]
  new[#new + 1] = 'contact'
  new[#new + 1] = contact
end
take_over(call, live, new, opened)
if not opener then
  word = opened and 'authorised' or 'pending'
end
return answer(word, record, opened and contact)
