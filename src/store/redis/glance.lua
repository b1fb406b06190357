-- Whether calls are to their sessions what they were, and what is kept of them lasts for a while yet: a 1
-- for each of which all of that is so, else a 0, and its session looks by itself. Nothing is changed, and
-- what cannot be read of one call says nothing of the others.
--
-- KEYS: of each call 1 call, 2 live. ARGV: 1 ms that must be left, 2 whether the server must prove that it
-- may write, then the owner of each
local least = tonumber(ARGV[1])

local function is_unchanged(call, live, owner)
  local known = redis.pcall('HMGET', call, 'owner', 'opened', 'ended')
  if known.err or known[1] ~= owner or known[3] then
    return false
  end
  -- What is not there has -2 left, what has no end -1.
  local left = redis.call('PTTL', live)
  local has_verdict = left >= least or (left == -2 and known[2] ~= '1')
  return has_verdict and redis.call('PTTL', call) >= least
end

-- A primary that was demoted goes on to answer, from what it knew. Where nobody tells, the end that the first
-- call has already is written: a replica refuses that.
if ARGV[2] == '1' then
  local left = redis.call('PTTL', KEYS[1])
  if left > 0 then
    redis.call('PEXPIRE', KEYS[1], left)
  end
end

local all = {}
for i = 1, #ARGV - 2 do
  all[i] = is_unchanged(KEYS[2 * i - 1], KEYS[2 * i], ARGV[i + 2]) and '1' or '0'
end
return table.concat(all)
