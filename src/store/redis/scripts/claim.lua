-- Stores what a request id stands for unless it stands for something. ARGV: request, id, hash, time.
local tag = KEYS[1]
local request, id, hash, time = unpack(ARGV)
local record = tag .. ':request:' .. request
local stands, known = unpack(redis.call('HMGET', record, 'id', 'hash'))
if not stands then
  redis.call('HSET', record, 'min_reader', 1, 'id', id, 'hash', hash)
  redis.call('ZADD', tag .. ':requests', time, request)
  return {'new'}
end
if known ~= hash then return {'reused'} end
-- The claim of a call that was sent again because its answer was lost.
if stands == id then return {'new'} end
return {'repeat', stands}
