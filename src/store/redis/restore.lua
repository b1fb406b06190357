-- Writes revocations that the log has lost, or has never had, each that is not there.
--
-- KEYS: 1 orders. ARGV: 1 for how many there is room, 2 for how many ms one is in force that does not
-- say, then kinds, values and ends
local room, usual = tonumber(ARGV[1]), tonumber(ARGV[2])
-- By the server's clock: an edge whose own is fast must not clear away what is in force for the others.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local there, count = {}, 0
for _, entry in ipairs(redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 4 * room)) do
  local known = {}
  for i = 1, #entry[2], 2 do
    known[entry[2][i]] = entry[2][i + 1]
  end
  local ends = tonumber(known['until']) or tonumber(string.match(entry[1], '^%d+')) + usual
  if ends <= now then
    redis.call('XDEL', KEYS[1], entry[1])
  else
    count = count + 1
    local name = (known.kind or '') .. ' ' .. (known.value or '')
    there[name] = math.max(there[name] or 0, ends)
  end
end
for i = 3, #ARGV, 3 do
  if (there[ARGV[i] .. ' ' .. ARGV[i + 1]] or 0) < tonumber(ARGV[i + 2]) then
    if count >= room then
      return 'full'
    end
    count = count + 1
    redis.call('XADD', KEYS[1], '*', 'kind', ARGV[i], 'value', ARGV[i + 1], 'until', ARGV[i + 2])
  end
end
return 'written'
