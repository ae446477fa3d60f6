-- Gives a workflow back, so that another worker takes it at once. ARGV: id, tenant, token.
local tag = KEYS[1]
local id, tenant, token = unpack(ARGV)
local record = tag .. ':workflow:' .. id
if redis.call('HGET', record, 'holder') ~= token then return 0 end
redis.call('HDEL', record, 'holder')
redis.call('HINCRBY', record, 'lost', -1)
redis.call('ZADD', tag .. ':due:' .. tenant, 'XX', 0, id)
redis.call('PUBLISH', tag, 'work')
return 1
