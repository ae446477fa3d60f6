-- Removes a connection with what is known of it. ARGV: tenant, id.
local tag = KEYS[1]
local tenant, id = unpack(ARGV)
local record = tag .. ':connection:' .. tenant .. ':' .. id
local name = redis.call('HGET', record, 'name')
if not name then return 0 end
redis.call('DEL', record, tag .. ':knowledge:' .. tenant .. ':' .. id)
redis.call('HDEL', tag .. ':connection-names:' .. tenant, name)
redis.call('ZREM', tag .. ':connections:' .. tenant, id)
return 1
