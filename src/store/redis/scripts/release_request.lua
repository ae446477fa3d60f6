-- Forgets a claim, if it still is the one with this id. ARGV: request, id.
local record = KEYS[1] .. ':request:' .. ARGV[1]
if redis.call('HGET', record, 'id') ~= ARGV[2] then return 0 end
redis.call('DEL', record)
redis.call('ZREM', KEYS[1] .. ':requests', ARGV[1])
return 1
