-- The whole of `try_code`, on one server. Continues `contact`. What it answers is a word, and the
-- contact that the call was opened for.
--
-- KEYS: 1 call, 2 live, 3 tries, 4 the session key, then what failures are counted by
-- ARGV: 1 owner, 2 which try, 3 ttl in ms, 4 tries that a call may make, 5 consume, 6 require_ttl,
-- then for each count how many failures are too many, and for how many ms they count
local call, live, tries, key = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local owner, this, ttl = ARGV[1], ARGV[2], ARGV[3]
local known = redis.call('HMGET', call, 'owner', 'contact')
if known[1] ~= owner then
  return { 'not_ours', '' }
end
local before = redis.call('HGET', tries, this)
if before then
  return { before, known[2] or '' }
end
if redis.call('EXISTS', live) == 1 then
  return { 'opened', known[2] or '' }
end
if redis.call('HLEN', tries) >= tonumber(ARGV[4]) then
  return { 'locked_out', '' }
end
for i = 5, #KEYS do
  if redis.call('SCARD', KEYS[i]) >= tonumber(ARGV[7 + 2 * (i - 5)]) then
    return { 'locked_out', '' }
  end
end
local left = redis.call('PTTL', key)
local hit = left >= 0 or (left == -1 and ARGV[6] == '0')
redis.call('HSET', tries, this, hit and 'opened' or 'wrong')
redis.call('PEXPIRE', tries, ttl)
redis.call('PEXPIRE', call, ttl)
if hit then
  redis.call('SET', live, owner, 'PX', ttl)
  local contact = contact_of(key)
  redis.call('HSET', call, 'opened', '1', 'contact', contact)
  if ARGV[5] == '1' then
    redis.call('DEL', key)
  end
  return { 'opened', contact }
end
for i = 5, #KEYS do
  -- The window begins with the first failure.
  redis.call('SADD', KEYS[i], this)
  if redis.call('PTTL', KEYS[i]) == -1 then
    redis.call('PEXPIRE', KEYS[i], ARGV[8 + 2 * (i - 5)])
  end
end
return { 'wrong', '' }
