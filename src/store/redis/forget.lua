-- Forgets a session whose key was taken back. KEYS: 1 handoff. ARGV: 1 writer, 2 the key
local known = redis.call('HMGET', KEYS[1], 'writer', 'key', 'state')
if known[1] == ARGV[1] and known[2] == ARGV[2] and known[3] ~= 'opened' then
  redis.call('DEL', KEYS[1])
end
return 'ok'
