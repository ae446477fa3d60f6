-- Removes a workflow with its log and everything that names it. ARGV: id, tenant.
local tag = KEYS[1]
local id, tenant = unpack(ARGV)
local record = tag .. ':workflow:' .. id
if redis.call('HGET', record, 'tenant') ~= tenant then return 0 end
redis.call('DEL', tag .. ':log:' .. id, record)
redis.call('ZREM', tag .. ':workflows:' .. tenant, id)
redis.call('ZREM', tag .. ':due:' .. tenant, id)
if redis.call('ZREM', tag .. ':ended', id) == 1 then redis.call('HINCRBY', tag .. ':ended-of', tenant, -1) end
redis.call('PUBLISH', tag, id .. ' ' .. tenant .. ' gone')
return 1
