-- Keeps what a person thinks of a workflow; 0 when the tenant has no such workflow. ARGV: id, tenant, the rating.
local record = KEYS[1] .. ':workflow:' .. ARGV[1]
if redis.call('HGET', record, 'tenant') ~= ARGV[2] then return 0 end
redis.call('HSET', record, 'rating', ARGV[3])
return 1
