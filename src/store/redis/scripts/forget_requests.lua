-- Forgets request ids claimed before an instant; says how many. ARGV: the instant, how many at most.
local tag = KEYS[1]
local old = redis.call('ZRANGEBYSCORE', tag .. ':requests', '-inf', '(' .. ARGV[1], 'LIMIT', 0, ARGV[2])
for _, request in ipairs(old) do
  redis.call('DEL', tag .. ':request:' .. request)
  redis.call('ZREM', tag .. ':requests', request)
end
return #old
