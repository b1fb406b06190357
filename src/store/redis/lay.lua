-- Writes a session key that nobody has. KEYS: 1 the key. ARGV: 1 value, 2 ttl in ms
if redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2], 'NX') then
  return 'laid'
end
-- That of the same contact is what a booking left behind that came to nothing.
if redis.pcall('GET', KEYS[1]) == ARGV[1] then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  return 'laid'
end
return 'taken'
