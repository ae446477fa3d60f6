-- The last sequence of a log; nothing when the tenant has no such log. ARGV: id, tenant.
local owner, last = unpack(redis.call('HMGET', KEYS[1] .. ':workflow:' .. ARGV[1], 'tenant', 'last'))
return owner == ARGV[2] and last
