-- Whether a session key was written for a call that was made, and not for the one of this binding.
-- Begins `enter` and `take`. What others write may be of any type, and says nothing.
local function is_anothers(key, binding)
  local value, ours = redis.pcall('GET', key), 'tonegate:call:'
  return type(value) == 'string' and value:sub(1, #ours) == ours and value ~= ours .. binding
end
