-- Writes an order into the log, and clears away some that have ended; all of them where there is no
-- room.
--
-- KEYS: 1 orders. ARGV: 1 for how many there is room, 2 for how many ms one is in force that does not
-- say, 3 kind, 4 value, 5 until, 6 end
local room, usual = tonumber(ARGV[1]), tonumber(ARGV[2])
-- By the server's clock: an edge whose own is fast must not clear away what is in force for the others.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local function field(entry, name)
  for i = 1, #entry[2], 2 do
    if entry[2][i] == name then
      return entry[2][i + 1]
    end
  end
  return ''
end
local function clear(count)
  for _, entry in ipairs(redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', count)) do
    local ends = tonumber(field(entry, 'until')) or tonumber(string.match(entry[1], '^%d+')) + usual
    if ends <= now then
      redis.call('XDEL', KEYS[1], entry[1])
    end
  end
end
-- Whoever did not hear the answer asks again.
for _, entry in ipairs(redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 16)) do
  if field(entry, 'kind') == ARGV[3] and field(entry, 'value') == ARGV[4] and field(entry, 'until') == ARGV[5]
    and field(entry, 'end') == ARGV[6] then
    return 'written'
  end
end
clear(32)
if redis.call('XLEN', KEYS[1]) >= room then
  clear(2 * room)
  if redis.call('XLEN', KEYS[1]) >= room then
    return 'full'
  end
end
local entry = { 'kind', ARGV[3], 'value', ARGV[4], 'until', ARGV[5] }
if ARGV[6] ~= '' then
  entry[7], entry[8] = 'end', ARGV[6]
end
redis.call('XADD', KEYS[1], '*', unpack(entry))
return 'written'
