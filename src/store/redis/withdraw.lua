-- Takes a session key back, if it is there with this value. KEYS: 1 the key. ARGV: 1 value
if redis.pcall('GET', KEYS[1]) == ARGV[1] then
  redis.call('DEL', KEYS[1])
  return 'gone'
end
return 'none'
