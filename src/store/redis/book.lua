-- Takes the place of a session that another cloud hands over, for as long as its key is written; what
-- it answers is a word, and of a session that was written before what its writer was told.
--
-- KEYS: 1 handoff. ARGV: 1 booking, 2 ms that it holds, 3 writer, 4 content, then names and values
local known = redis.call('HMGET', KEYS[1], 'writer', 'content', 'booking', 'state', 'kept', 'drawn', 'expires', 'key')
if known[1] then
  if known[1] ~= ARGV[3] then
    return { 'conflict', '', '', '' }
  end
  if known[3] then
    return { known[2] == ARGV[4] and 'busy' or 'conflict', '', '', '' }
  end
  local waits = known[4] == 'waiting'
  -- In the millisecond of its end the key is still there.
  local expired = waits and redis.call('PTTL', KEYS[1]) < tonumber(known[5] or 0)
  if known[4] ~= 'ended' and not expired then
    if known[2] ~= ARGV[4] then
      return { 'conflict', '', '', '' }
    end
    return { 'same', known[6] or '', known[7] or '', known[8] or '' }
  end
  redis.call('DEL', KEYS[1])
end
redis.call('HSET', KEYS[1], 'booking', ARGV[1], 'writer', ARGV[3], 'content', ARGV[4], unpack(ARGV, 5))
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return { 'booked', '', '', '' }
