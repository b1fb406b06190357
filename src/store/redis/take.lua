-- Looks a session key up and consumes it, in a cluster. Who consumed it finds it again. Continues
-- `bound` and `contact`. What it answers is a word, and the contact that the key is for.
--
-- KEYS: 1 the key, 2 used. ARGV: 1 who, 2 consume, 3 require_ttl, 4 ms for which it is known who did,
-- 5 the binding of the call, or ''.
local used = redis.call('GET', KEYS[2])
local who, before = string.match(used or '', '^(%S*) ?(%S*)$')
if who == ARGV[1] then
  return { 'hit', before }
end
local left = redis.call('PTTL', KEYS[1])
if left == -2 or (left == -1 and ARGV[3] == '1') then
  return { 'miss', '' }
end
if is_anothers(KEYS[1], ARGV[5]) then
  return { 'other', '' }
end
local contact = contact_of(KEYS[1])
if ARGV[2] == '1' then
  redis.call('SET', KEYS[2], ARGV[1] .. ' ' .. contact, 'PX', ARGV[4])
  redis.call('DEL', KEYS[1])
end
return { 'hit', contact }
