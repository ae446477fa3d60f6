-- Replaces what is known of a connection and still has the expected etag. ARGV: tenant, connection, etag, record, expected
-- etag ('' for nothing stored).
local tag = KEYS[1]
local tenant, id, etag, text, expected = unpack(ARGV)
local record = tag .. ':knowledge:' .. tenant .. ':' .. id
if redis.call('EXISTS', tag .. ':connection:' .. tenant .. ':' .. id) == 0 then return 'absent' end
if (redis.call('HGET', record, 'etag') or '') ~= expected then return 'changed' end
redis.call('HSET', record, 'record', text, 'etag', etag)
return 'done'
