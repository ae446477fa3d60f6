-- Adds a connection whose name and id are free. ARGV: tenant, id, name as compared, etag, record.
local tag = KEYS[1]
local tenant, id, name, etag, text = unpack(ARGV)
local record, names = tag .. ':connection:' .. tenant .. ':' .. id, tag .. ':connection-names:' .. tenant
if redis.call('EXISTS', record) == 1 or redis.call('HEXISTS', names, name) == 1 then return 'taken' end
redis.call('HSET', record, 'record', text, 'etag', etag, 'name', name)
redis.call('HSET', names, name, id)
redis.call('ZADD', tag .. ':connections:' .. tenant, 0, id)
return 'done'
