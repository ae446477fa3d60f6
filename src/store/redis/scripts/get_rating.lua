-- What a person thinks of a workflow; nothing when nobody has said so. ARGV: id, tenant.
local owner, rating = unpack(redis.call('HMGET', KEYS[1] .. ':workflow:' .. ARGV[1], 'tenant', 'rating'))
return owner == ARGV[2] and rating
