-- Which contact of another cloud a session key is for, or ''. The edge's own keys say it in their
-- value, and others may say it so, too.
local function contact_of(key)
  -- A value of another type is as good a key, and says nothing.
  local value = redis.pcall('GET', key)
  if type(value) ~= 'string' or #value > 78 then
    return ''
  end
  return string.match(value, '^{"session":"([%w_-]+)"}$') or ''
end
