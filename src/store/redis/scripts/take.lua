-- Gives the next workflow that waits to a worker; tenants take turns, the one served longest ago first.
-- ARGV: token of the lease, its length in ms, newest version of records that the worker reads, how often workers may be
--       lost before nobody is given the workflow any more, '1' to leave alone what somebody held. Returns id, tenant and
--       how often, or nothing.
local tag = KEYS[1]
local token, lease, version, most = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
-- What was given back or never held waits since 0.
local until_ = ARGV[5] == '1' and 0 or now

for _, tenant in ipairs(redis.call('ZRANGE', tag .. ':turns', 0, -1)) do
  local due = tag .. ':due:' .. tenant
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', due, '-inf', until_, 'LIMIT', 0, 16)) do
    local record = tag .. ':workflow:' .. id
    local owner, reader, lost = unpack(redis.call('HMGET', record, 'tenant', 'min_reader', 'lost'))
    if owner ~= tenant or tonumber(lost or 0) >= most then
      -- No workflow, or one that nobody survives: put aside for a person to look at.
      redis.call('ZREM', due, id)
      redis.call('ZADD', tag .. ':dead', now, tenant .. ' ' .. id)
    elseif tonumber(reader) <= version then
      redis.call('HSET', record, 'holder', token)
      redis.call('HINCRBY', record, 'lost', 1)
      redis.call('ZADD', due, now + lease, id)
      redis.call('ZADD', tag .. ':turns', redis.call('INCR', tag .. ':turn'), tenant)
      return {id, tenant, lost or '0'}
    end
  end
  if redis.call('ZCARD', due) == 0 then redis.call('ZREM', tag .. ':turns', tenant) end
end
return {}
