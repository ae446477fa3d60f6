-- Workflows in this partition that have not ended, each as id, tenant, status and last sequence.
local tag = KEYS[1]
local found = {}
for _, id in ipairs(redis.call('ZRANGE', tag .. ':open', 0, -1)) do
  local record = redis.call('HMGET', tag .. ':workflow:' .. id, 'tenant', 'status', 'last')
  if record[1] then
    found[#found + 1] = id
    for at = 1, 3 do found[#found + 1] = record[at] end
  end
end
return found
