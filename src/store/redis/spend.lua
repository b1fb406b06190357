-- Spends a token, in a cluster. KEYS: 1 spent. ARGV: 1 owner, 2 ms until it ends.
if redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2], 'NX') then
  return 'ours'
end
return redis.call('GET', KEYS[1]) == ARGV[1] and 'ours' or 'spent'
