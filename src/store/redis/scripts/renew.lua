-- Prolongs leases; returns the tokens of those that are lost. ARGV: length in ms, then each as id, tenant and token.
local tag = KEYS[1]
local clock = redis.call('TIME')
local until_ = clock[1] * 1000 + math.floor(clock[2] / 1000) + tonumber(ARGV[1])
local lost = {}
for at = 2, #ARGV, 3 do
  local id, tenant, token = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  if redis.call('HGET', tag .. ':workflow:' .. id, 'holder') == token then
    redis.call('ZADD', tag .. ':due:' .. tenant, 'XX', until_, id)
  else
    lost[#lost + 1] = token
  end
end
return lost
