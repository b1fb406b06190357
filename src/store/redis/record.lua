-- What is known of a call, and whether what is said now agrees with it. Begins `enter` and `admit`.
--
-- ARGV: 1 owner, 2 ttl in ms, 3 connection, 4 correlation, 5 whether a record may be made of what a
-- signed URL says, 6 to 10 what it says, in the order of NAMES, 11 the binding that it says; the
-- last is the route. Where nothing is said stands ''.
local NAMES = { 'ani', 'sip', 'connection', 'correlation', 'sip_key' }
local owner, ttl = ARGV[1], ARGV[2]

local function record_of(call)
  local record = redis.call('HMGET', call, unpack(NAMES))
  local exists = redis.call('EXISTS', call) == 1
  -- Nothing makes a record of a call that was made but whoever made it.
  if not exists and (ARGV[5] == '0' or ARGV[11] ~= '') then
    return nil, 'unknown'
  end
  -- One that is over begins no session.
  if redis.call('HGET', call, 'ended') then
    return nil, 'unknown'
  end
  local binding = redis.call('HGET', call, 'binding')
  if (binding or '') ~= ARGV[11] then
    return nil, 'other'
  end
  if binding then
    -- Which connection is its own nobody knows yet.
    if not record[3] then
      return nil, 'unknown'
    end
    if ARGV[3] == '' then
      return nil, 'other'
    end
  end
  local new = {}
  local function agrees(i, said)
    if said == '' or record[i] == said then
      return true
    end
    if record[i] then
      -- Two correlations of one connection are no contradiction, nor are names of keys: the first
      -- ones are the record's.
      return i > 3
    end
    record[i] = said
    new[#new + 1] = NAMES[i]
    new[#new + 1] = said
    return true
  end
  for i = 1, 5 do
    if not agrees(i, ARGV[5 + i]) then
      return nil, 'other'
    end
  end
  -- What one route asks of a call another one may not have asked.
  local by = redis.call('HGET', call, 'route')
  if by and by ~= ARGV[#ARGV] then
    return nil, 'other'
  end
  if not agrees(3, ARGV[3]) or not agrees(4, ARGV[4]) then
    return nil, 'other'
  end
  return record, new
end

local function answer(word, record, contact)
  local all = { word }
  for i = 1, 5 do
    all[i + 1] = record and record[i] or ''
  end
  all[7] = contact or ''
  return all
end

-- Takes the call over. What may fail for want of memory comes first, and nothing is written before.
local function take_over(call, live, new, opened)
  local before = redis.call('HGET', call, 'owner')
  if before and before ~= owner then
    new[#new + 1] = 'before'
    new[#new + 1] = before
  end
  new[#new + 1] = 'route'
  new[#new + 1] = ARGV[#ARGV]
  new[#new + 1] = 'owner'
  new[#new + 1] = owner
  new[#new + 1] = 'opened'
  new[#new + 1] = opened and '1' or '0'
  redis.call('HSET', call, unpack(new))
  redis.call('PEXPIRE', call, ttl)
  if opened then
    redis.call('SET', live, redis.call('GET', live) or owner, 'PX', ttl)
  end
end
