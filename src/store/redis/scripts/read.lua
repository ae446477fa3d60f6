-- Events of a log from a sequence on, each as sequence, version and text; none when the tenant has no such log.
-- ARGV: id, tenant, first sequence, how many.
local tag = KEYS[1]
local id, tenant, first, count = unpack(ARGV)
if redis.call('HGET', tag .. ':workflow:' .. id, 'tenant') ~= tenant then return {} end
local flat = {}
for _, entry in ipairs(redis.call('XRANGE', tag .. ':log:' .. id, first .. '-0', '+', 'COUNT', count)) do
  local fields = {}
  for at = 1, #entry[2], 2 do fields[entry[2][at]] = entry[2][at + 1] end
  flat[#flat + 1] = string.match(entry[1], '^%d+')
  flat[#flat + 1] = fields.v
  flat[#flat + 1] = fields.e
end
return flat
