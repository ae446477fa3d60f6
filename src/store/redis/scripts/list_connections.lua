-- Connections of a tenant in id order, as records. ARGV: tenant, id that they come after ('' for none), how many.
local tag = KEYS[1]
local tenant, after, limit = unpack(ARGV)
local from = after == '' and '-' or '(' .. after
local records = {}
for _, id in ipairs(redis.call('ZRANGEBYLEX', tag .. ':connections:' .. tenant, from, '+', 'LIMIT', 0, limit)) do
  records[#records + 1] = redis.call('HGET', tag .. ':connection:' .. tenant .. ':' .. id, 'record')
end
return records
