-- Whether calls are to their sessions what they were, and what is kept of them lasts for a while yet: a 1
-- for each of which all of that is so, else a 0, and its session looks by itself. Nothing is written, and
-- what cannot be read of one call says nothing of the others.
--
-- KEYS: of each call 1 call, 2 live. ARGV: 1 ms that must be left, then the owner of each
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

local all = {}
for i = 1, #ARGV - 1 do
  all[i] = is_unchanged(KEYS[2 * i - 1], KEYS[2 * i], ARGV[i + 1]) and '1' or '0'
end
return table.concat(all)
