-- Replaces a connection that still has the expected etag. ARGV: tenant, id, name as compared, etag, record, expected etag.
local tag = KEYS[1]
local tenant, id, name, etag, text, expected = unpack(ARGV)
local record, names = tag .. ':connection:' .. tenant .. ':' .. id, tag .. ':connection-names:' .. tenant
local stored, old_name = unpack(redis.call('HMGET', record, 'etag', 'name'))
if not stored then return 'absent' end
if stored ~= expected then return 'changed' end
local holder = redis.call('HGET', names, name)
if holder and holder ~= id then return 'taken' end
redis.call('HDEL', names, old_name)
redis.call('HSET', names, name, id)
redis.call('HSET', record, 'record', text, 'etag', etag, 'name', name)
return 'done'
