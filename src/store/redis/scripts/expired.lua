-- Workflows in this partition that ended before an instant, each as id and tenant. ARGV: the instant, how many.
local tag = KEYS[1]
local found = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', tag .. ':ended', '-inf', '(' .. ARGV[1], 'LIMIT', 0, ARGV[2])) do
  local tenant = redis.call('HGET', tag .. ':workflow:' .. id, 'tenant')
  if tenant then
    found[#found + 1] = id
    found[#found + 1] = tenant
  else
    redis.call('ZREM', tag .. ':ended', id)
  end
end
return found
